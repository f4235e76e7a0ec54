using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

public sealed partial class PrefixIndexTests
{
    private static readonly ModelIdentity Model = new("prefix", "1", 10000);

    public static TheoryData<string> Names => ["bf16", "bf16-16", "int8", "int8-16", "mxfp8-128", "mixed", "latent", "odd"];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_sequence_goes_on_behind_a_shared_prefix_as_if_it_had_written_it(string name)
    {
        using PagedKvCache cache = Cache(name, 8192);
        using var index = new PrefixIndex(cache);
        int unit = index.UnitTokens, prefix = 2 * unit, tokens = prefix + unit / 2 + 5;
        using KvSequence first = Write(cache, null, tokens, seed: 1);
        Assert.Equal(2, index.Add(first, Hashes(tokens, 1)));
        Assert.Equal(0, index.Add(first, Hashes(tokens, 1)));
        PrefixMatch match = index.Lookup(Hashes(tokens + 300, 1));
        Assert.Equal((prefix, prefix / 64), (match.Tokens, match.Granules));

        int before = cache.UsedBlocks;
        using KvSequence second = cache.CreateSequence();
        Assert.True(second.TryShareFrom(match));
        Assert.Equal((prefix, prefix), (second.Tokens, second.SharedTokens));
        Assert.Equal(before, cache.UsedBlocks);
        AssertSame(first, second, prefix);
        // The rest: other tokens, written in two steps; the sequence that wrote all of it itself has the same rows.
        Write(cache, second, prefix + 3, seed: 2);
        Write(cache, second, tokens + 40, seed: 2);
        using KvSequence whole = Write(cache, Write(cache, null, prefix, seed: 1), tokens + 40, seed: 2);
        AssertSame(whole, second, tokens + 40);
        // And the first one's blocks are as they were.
        using KvSequence again = Write(cache, null, tokens, seed: 1);
        AssertSame(again, first, tokens);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Nothing_leaks_in_whatever_order_owners_go(string name)
    {
        for (int order = 0; order < 6; order++)
        {
            using PagedKvCache cache = Cache(name, 2048);
            var index = new PrefixIndex(cache);
            int tokens = 2 * index.UnitTokens + 10;
            KvSequence first = Write(cache, null, tokens, seed: 1), second = cache.CreateSequence();
            index.Add(first, Hashes(tokens, 1));
            Assert.True(second.TryShareFrom(index.Lookup(Hashes(tokens, 1))));
            Assert.All(cache.Pools, (pool, g) => Assert.Equal(3, pool.References(second.Table(g)[0].Slot)));
            Write(cache, second, tokens, seed: 3);
            IDisposable[] owners = [first, second, index];
            (int a, int b) = (order % 3, (order % 3 + 1 + order / 3) % 3);
            owners[a].Dispose();
            Assert.NotEqual(0, cache.UsedBlocks);
            owners[b].Dispose();
            Assert.NotEqual(0, cache.UsedBlocks);
            owners[3 - a - b].Dispose();
            Assert.Equal(0, cache.UsedBlocks);
        }
    }

    [Fact]
    public void Shared_blocks_are_not_written()
    {
        using PagedKvCache cache = Cache("bf16", 1024);
        using var index = new PrefixIndex(cache);
        using KvSequence first = Write(cache, null, 200, seed: 1), second = cache.CreateSequence();
        // Until others may read it, a sequence may write its tokens again.
        first.WriteRows(0, 0, new float[96], new float[96]);
        first.WriteRows(0, 0, Rows(cache.Layout.Groups[0], 0, 0, 1, 1), Rows(cache.Layout.Groups[0], 0, 0, 1, 1));
        index.Add(first, Hashes(200, 1));
        Assert.True(second.TryShareFrom(index.Lookup(Hashes(200, 1))));
        foreach (KvSequence sequence in (KvSequence[])[first, second])
        {
            Assert.Equal(192, sequence.SharedTokens);
            Assert.Contains("192", Assert.Throws<SharedBlocksException>(() => sequence.WriteRows(0, 191, new float[96], new float[96])).Message);
            Assert.Throws<SharedBlocksException>(() => sequence.WriteRows(1, 0, new float[96], new float[96]));
        }

        first.WriteRows(0, 192, new float[96], new float[96]);
        Assert.True(second.TryReserve(193));
        second.WriteRows(0, 192, new float[96], new float[96]);
    }

    [Theory]
    [InlineData("bf16", 64)]
    [InlineData("bf16-16", 64)]
    [InlineData("mxfp8-128", 128)]
    [InlineData("mixed", 192)]
    [InlineData("odd", 448)]
    public void Units_are_whole_blocks_of_every_group(string name, int expected)
    {
        using PagedKvCache cache = Cache(name, 1024);
        using var index = new PrefixIndex(cache);
        Assert.Equal(expected, index.UnitTokens);
        using KvSequence first = Write(cache, null, 2 * expected, seed: 1);
        index.Add(first, Hashes(2 * expected - 64, 1));
        Assert.Equal(1, index.Units);
        PrefixMatch match = index.Lookup(Hashes(2 * expected, 1));
        Assert.Equal(expected, match.Tokens);
        Assert.Equal(0, match.AtMost(expected - 1).Tokens);
        Assert.Equal(expected, match.AtMost(expected).Tokens);
        using KvSequence none = cache.CreateSequence();
        Assert.True(none.TryShareFrom(match.AtMost(expected - 1)));
        Assert.Equal((0, 0), (none.Tokens, none.Capacity));
    }

    [Fact]
    public void Threads_share_evict_and_write_at_once()
    {
        using PagedKvCache cache = Cache("int8", 4096);
        using var index = new PrefixIndex(cache);
        ImmutableArray<PrefixHash>[] hashes = [.. Enumerable.Range(0, 4).Select(seed => PrefixHash.Chain(Model, Ids(256, seed)))];
        KvSequence[] expected = [.. Enumerable.Range(0, 4).Select(seed => Write(cache, null, 256, seed))];
        int shared = 0;
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, thread =>
        {
            var random = new Random(thread);
            for (int i = 0; i < 60; i++)
            {
                int seed = random.Next(4);
                using KvSequence sequence = cache.CreateSequence();
                PrefixMatch match = index.Lookup(hashes[seed].AsSpan());
                if (!sequence.TryShareFrom(match)) continue;
                if (match.Tokens > 0) Interlocked.Increment(ref shared);
                Write(cache, sequence, 256, seed);
                AssertSame(expected[seed], sequence, 256);
                index.Add(sequence, hashes[seed].AsSpan());
                if (random.Next(4) == 0) index.EvictUntil(random.Next(30, 60));
            }
        });
        Assert.True(shared > 0, "No prefix was ever shared.");
        foreach (KvSequence sequence in expected) sequence.Dispose();
        index.Dispose();
        Assert.Equal(0, cache.UsedBlocks);
    }

    private static int[] Ids(int tokens, int seed) => [.. Enumerable.Range(0, tokens).Select(i => i * 7 + seed * 1000)];

    private static ReadOnlySpan<PrefixHash> Hashes(int tokens, int seed) => PrefixHash.Chain(Model, Ids(tokens, seed)).AsSpan();

    private static PagedKvCache Cache(string name, int tokens)
    {
        LayerGroup plain = PackedCase.Group("bf16") with { HeadDim = 32 };
        KvCacheLayout layout = name switch
        {
            "bf16" => new(Model, [plain]),
            "bf16-16" => new(Model, [plain with { BlockTokens = 16, Order = DimensionOrder.TokenMajor }]),
            "int8" => new(Model, [PackedCase.Group("int8", headDim: 32)]),
            "int8-16" => new(Model, [PackedCase.Group("int8", 16, headDim: 32)]),
            "mxfp8-128" => new(Model, [PackedCase.Group("mxfp8", 128, headDim: 32)]),
            "mixed" => new(Model, [PackedCase.Group("int8", 32, headDim: 32), plain with { Kind = AttentionKind.SlidingWindow, WindowTokens = 100, Layers = [2], BlockTokens = 48, KvHeads = 5 }]),
            "latent" => KvCacheLayout.Latent(Model, 2, 32, 16),
            "odd" => new(Model, [plain with { BlockTokens = 7 }]),
            _ => throw new ArgumentException(name),
        };
        PagedKvCache cache = PagedKvCache.Allocate(layout, tokens, sequences: 16);
        foreach (KvBlockPool pool in cache.Pools) pool.Fill(0xA5);
        return cache;
    }

    /// <summary>Writes a sequence up to so many tokens; rows depend on layer, token and seed alone.</summary>
    private static KvSequence Write(PagedKvCache cache, KvSequence? sequence, int tokens, int seed)
    {
        sequence ??= cache.CreateSequence();
        Assert.True(sequence.TryReserve(tokens));
        int start = sequence.Tokens;
        if (start == tokens) return sequence;
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            LayerGroup group = cache.Layout.Group(layer);
            sequence.WriteRows(layer, start, Rows(group, layer, start, tokens - start, seed), group.Planes == 2 ? Rows(group, layer + 50, start, tokens - start, seed) : []);
        }

        sequence.Advance(tokens - start);
        return sequence;
    }

    private static float[] Rows(LayerGroup group, int salt, int start, int tokens, int seed)
    {
        int perToken = group.KvHeads * group.HeadDim;
        var rows = new float[tokens * perToken];
        for (int i = 0; i < rows.Length; i++)
        {
            uint x = (uint)(start + i / perToken) * 2_654_435_761 ^ (uint)(i % perToken) * 40_503 ^ (uint)(salt * 97 + seed * 7919) * 2_246_822_519;
            rows[i] = (int)(x ^ (x >> 13)) / (float)int.MaxValue;
        }

        return rows;
    }

    private static void AssertSame(KvSequence expected, KvSequence actual, int tokens)
    {
        for (int layer = 0; layer < expected.Cache.Layout.LayerCount; layer++)
        {
            LayerGroup group = expected.Cache.Layout.Group(layer);
            for (int head = 0; head < group.KvHeads; head++)
            {
                for (int plane = 0; plane < group.Planes; plane++)
                {
                    if (!Read(expected).SequenceEqual(Read(actual))) Assert.Fail($"Layer {layer}, head {head}, {(KvPlane)plane} differ within {tokens} tokens.");

                    float[] Read(KvSequence sequence)
                    {
                        var rows = new float[tokens * group.HeadDim];
                        StoredRows.Unpack(sequence.View(layer, tokens), head, (KvPlane)plane, 0, new RowRuns(MemoryMarshal.AsBytes(rows.AsSpan()), group.HeadDim * sizeof(float)), ElementType.Float32);
                        return rows;
                    }
                }
            }
        }
    }
}
