using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

// What is found, what is forgotten, and in which order.
public sealed partial class PrefixIndexTests
{
    [Fact]
    public void Lookup_finds_the_longest_known_prefix()
    {
        using PagedKvCache cache = Cache("bf16", 2048);
        using var index = new PrefixIndex(cache);
        using KvSequence first = Write(cache, null, 320, seed: 1);
        index.Add(first, Hashes(320, 1));
        Assert.Equal(0, index.Lookup(Hashes(320, 2)).Tokens);
        Assert.Equal(0, index.Lookup([]).Tokens);
        Assert.Equal(128, index.Lookup(Hashes(191, 1)).Tokens);
        ImmutableArray<PrefixHash> diverging = PrefixHash.Chain(Model, [.. Ids(320, 1)[..192], .. Ids(320, 2)[192..]]);
        Assert.Equal(192, index.Lookup(diverging.AsSpan()).Tokens);
        // The part behind the fork is added beside the other one.
        using KvSequence second = Write(cache, null, 320, seed: 1);
        Assert.Equal(2, index.Add(second, diverging.AsSpan()));
        Assert.Equal(320, index.Lookup(diverging.AsSpan()).Tokens);
        Assert.Equal(320, index.Lookup(Hashes(320, 1)).Tokens);
        // A hash in the middle of a chain is not a beginning.
        Assert.Equal(0, index.Lookup(Hashes(320, 1)[1..]).Tokens);
    }

    [Theory]
    [InlineData(0, 192, 192, 192)]
    [InlineData(1, 128, 192, 192)]
    [InlineData(2, 64, 192, 192)]
    [InlineData(3, 64, 128, 192)]
    [InlineData(5, 64, 0, 192)]
    [InlineData(6, 0, 0, 192)]
    [InlineData(7, 0, 0, 128)]
    [InlineData(9, 0, 0, 0)]
    public void What_was_not_asked_for_longest_is_forgotten_first_from_its_end(int evicted, int first, int second, int third)
    {
        using PagedKvCache cache = Cache("bf16", 640);
        using var index = new PrefixIndex(cache);
        for (int seed = 1; seed <= 3; seed++)
        {
            using KvSequence sequence = Write(cache, null, 192, seed);
            index.Add(sequence, Hashes(192, seed));
        }

        Assert.Equal((9, 1), (index.Units, cache.Pools[0].FreeSlots));
        // Of the first only the beginning was asked for since, of the third all of it.
        index.Lookup(Hashes(64, 1));
        index.Lookup(Hashes(192, 3));
        Assert.True(index.EvictForTokens((1 + evicted) * 64));
        Assert.Equal(1 + evicted, cache.Pools[0].FreeSlots);
        Assert.Equal((first, second, third), (index.Lookup(Hashes(192, 1)).Tokens, index.Lookup(Hashes(192, 2)).Tokens, index.Lookup(Hashes(192, 3)).Tokens));
        Assert.True(index.EvictUntil(10));
        Assert.Equal((0, 0), (index.Units, cache.UsedBlocks));
        Assert.False(index.EvictUntil(11));
    }

    [Fact]
    public void Blocks_in_use_are_not_forgotten_for_nothing()
    {
        using PagedKvCache cache = Cache("bf16", 640);
        using var index = new PrefixIndex(cache);
        KvSequence running = Write(cache, null, 256, seed: 1);
        index.Add(running, Hashes(256, 1));
        using (KvSequence ended = Write(cache, null, 256, seed: 2)) index.Add(ended, Hashes(256, 2));
        Assert.True(index.EvictUntil(6));
        Assert.Equal(4, index.Units);
        Assert.False(index.EvictUntil(7));
        Assert.Equal(256, index.Lookup(Hashes(256, 1)).Tokens);
        running.Dispose();
        Assert.True(index.EvictUntil(10));
        Assert.Equal(0, index.Units);
    }

    [Fact]
    public void A_match_whose_blocks_were_freed_takes_nothing()
    {
        using PagedKvCache cache = Cache("mixed", 768);
        using var index = new PrefixIndex(cache);
        using (KvSequence first = Write(cache, null, 384, seed: 1)) index.Add(first, Hashes(384, 1));
        PrefixMatch match = index.Lookup(Hashes(384, 1));
        // Of the second unit the blocks are freed, and granted to another.
        Assert.True(index.EvictForTokens(768 - 192));
        Assert.Equal(1, index.Units);
        using KvSequence other = Write(cache, null, 500, seed: 5), late = cache.CreateSequence();
        int used = cache.UsedBlocks;
        Assert.False(late.TryShareFrom(match));
        Assert.Equal((0, 0, used), (late.Tokens, late.Capacity, cache.UsedBlocks));
        // What is left of it can still be taken.
        Assert.True(late.TryShareFrom(match.AtMost(192)));
        Assert.Equal(192, late.Tokens);
        Assert.Contains("only an empty one", Assert.Throws<InvalidOperationException>(() => late.TryShareFrom(match)).Message);
    }

    [Fact]
    public void Caches_are_not_mixed_up()
    {
        using PagedKvCache cache = Cache("bf16", 256), other = Cache("bf16", 256);
        var index = new PrefixIndex(cache);
        using KvSequence stranger = Write(other, null, 128, seed: 1), own = Write(cache, null, 128, seed: 1);
        Assert.Throws<ArgumentException>(() => index.Add(stranger, Hashes(128, 1)));
        index.Add(own, Hashes(128, 1));
        using KvSequence empty = other.CreateSequence();
        Assert.Throws<ArgumentException>(() => empty.TryShareFrom(index.Lookup(Hashes(128, 1))));
        own.Dispose();
        Assert.Throws<ObjectDisposedException>(() => index.Add(own, Hashes(128, 1)));
        index.Dispose();
        Assert.Throws<ObjectDisposedException>(() => index.Lookup(Hashes(128, 1)));
        Assert.Equal(0, cache.UsedBlocks);
    }
}
