using System.Collections.Immutable;

namespace KvHandoff.Layout;

public sealed partial class KvSequence
{
    /// <summary>Tokens at the beginning that lie in blocks which other sequences may read, and which therefore never change.</summary>
    public int SharedTokens { get; private set; }

    /// <summary>
    /// Begins an empty sequence with the blocks of a known prefix, in every layer group. Its tokens count as complete; new blocks, which
    /// are the sequence's own, come with <see cref="TryReserve"/>.
    /// </summary>
    /// <returns>False, and nothing taken, when a block was freed since the match was looked up.</returns>
    /// <exception cref="ArgumentException">The match is of another cache.</exception>
    /// <exception cref="InvalidOperationException">The sequence has blocks already.</exception>
    public bool TryShareFrom(PrefixMatch match)
    {
        ArgumentNullException.ThrowIfNull(match);
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!ReferenceEquals(match.Cache, Cache)) throw new ArgumentException("The match is of another cache than the sequence.", nameof(match));
        if (_tables.Any(t => t.Count != 0)) throw new InvalidOperationException($"The sequence has {Tokens} tokens and room for {Capacity}; only an empty one can begin with shared blocks.");
        for (int g = 0; g < _tables.Length; g++)
        {
            ReadOnlySpan<SlotHandle> blocks = match.Blocks[g].AsSpan();
            int taken = 0;
            while (taken < blocks.Length && Cache.Pools[g].TryAddReference(blocks[taken])) taken++;
            _tables[g].Add(blocks[..taken]);
            if (taken == blocks.Length) continue;
            for (int back = 0; back <= g; back++)
            {
                Release(Cache.Pools[back], _tables[back].Slots);
                _tables[back].Clear();
            }

            return false;
        }

        Tokens = SharedTokens = match.Tokens;
        return true;
    }

    /// <summary>
    /// A sequence of a cache that another process owns: in slots that it granted, which are not given back on disposal. Null, or what is
    /// wrong with the slots.
    /// </summary>
    internal static string? TryBorrow(PagedKvCache cache, ImmutableArray<ImmutableArray<uint>> slots, int tokens, out KvSequence? sequence)
    {
        sequence = null;
        if (slots.Length != cache.Pools.Length) return $"Slots of {slots.Length} layer groups were granted; the cache has {cache.Pools.Length}.";
        var borrowed = new KvSequence(cache) { _isBorrowed = true };
        for (int g = 0; g < slots.Length; g++)
        {
            KvBlockPool pool = cache.Pools[g];
            int blocks = (int)(((long)tokens + pool.Group.BlockTokens - 1) / pool.Group.BlockTokens), tails = cache.TailPools[g] is null ? 0 : 1;
            if (slots[g].Length != blocks + tails) return $"{slots[g].Length} slots of group {g} were granted; {blocks + tails} were expected.";
            var handles = new SlotHandle[blocks];
            for (int i = 0; i < blocks; i++)
            {
                if (slots[g][i] >= (uint)pool.Capacity) return $"Slot {slots[g][i]} of group {g} was granted; it has {pool.Capacity}.";
                handles[i] = new SlotHandle((int)slots[g][i], 0);
            }

            borrowed._tables[g].Add(handles);
            if (tails == 0) continue;
            if (slots[g][^1] >= (uint)cache.TailPools[g]!.Capacity) return $"Tail {slots[g][^1]} of group {g} was granted; it has {cache.TailPools[g]!.Capacity}.";
            borrowed._tails[g] = new SlotHandle((int)slots[g][^1], 0);
        }

        sequence = borrowed;
        return null;
    }

    /// <summary>Others may read the first <paramref name="tokens"/> tokens from now on.</summary>
    internal void Share(int tokens) => SharedTokens = Math.Max(SharedTokens, tokens);

    internal void RequireUsable() => ObjectDisposedException.ThrowIf(_disposed, this);
}
