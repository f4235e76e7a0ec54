using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Layout;

/// <summary>
/// A worker's KV cache: one block pool per layer group, and sequences that hold blocks of them. A group whose scales lie in the blocks
/// has a second pool, of tails: BF16 rows of each sequence's last tokens, which wait for their tile to fill.
/// </summary>
/// <remarks>Creating and disposing sequences is thread-safe; one sequence is used by one thread at a time.</remarks>
public sealed class PagedKvCache : IDisposable
{
    // A quarter of an 8-bit cache's bytes at most, for sequences of a thousand tokens and longer.
    private const int TokensPerTail = 1024, LeastTails = 4;

    private readonly MemoryRegion?[] _owned;

    /// <summary>A cache over pools that the caller made, for instance over the host engine's memory.</summary>
    /// <param name="layout">What the cache holds.</param>
    /// <param name="pools">One pool per layer group.</param>
    /// <param name="sequences">Sequences that can have a tail at once, where a group needs one; 0: one per 1,024 tokens, at least 4.</param>
    /// <exception cref="KvLayoutException">A pool does not match its group.</exception>
    public PagedKvCache(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools, int sequences = 0)
        : this(layout, pools, null, null, 0, sequences)
    {
    }

    // Pools of another process, of which nothing is allocated here.
    private PagedKvCache(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools, ImmutableArray<KvBlockPool?> tailPools)
    {
        Layout = layout;
        Pools = pools;
        TailPools = tailPools;
        _owned = [];
    }

    private PagedKvCache(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools, MemoryRegion? owned, MemoryRegion? tails, long tailOffset, int sequences)
    {
        if (pools.Length != layout.Groups.Length)
            throw new KvLayoutException($"{pools.Length} pools were given; the layout has {layout.Groups.Length} groups.");
        for (int g = 0; g < pools.Length; g++)
        {
            if (!pools[g].Group.Equals(layout.Groups[g])) throw new KvLayoutException($"Pool {g} was made for another layer group than the layout's.");
        }

        Layout = layout;
        Pools = pools;
        MemoryRegion? ownTails = null;
        if (tails is null && layout.Groups.Any(g => g.HasTail))
            tails = ownTails = NativeSlab.Allocate(pools.Sum(p => TailBytes(p.Group, Tails(p.Group, (long)p.Capacity * p.Group.BlockTokens, sequences))));
        TailPools = [.. pools.Select(p => TailPool(p, tails, ref tailOffset, sequences))];
        _owned = [owned, ownTails];
    }

    /// <summary>What the cache holds.</summary>
    public KvCacheLayout Layout { get; }

    /// <summary>One pool per layer group.</summary>
    public ImmutableArray<KvBlockPool> Pools { get; }

    /// <summary>Per layer group the pool of tails, null where rows are stored as they come.</summary>
    public ImmutableArray<KvBlockPool?> TailPools { get; }

    /// <summary>Allocates a cache with room for <paramref name="tokens"/> tokens in every group (rounded up to whole blocks).</summary>
    public static PagedKvCache Allocate(KvCacheLayout layout, long tokens, int sequences = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(tokens);
        NativeSlab slab = NativeSlab.Allocate(RequiredBytes(layout, tokens, sequences));
        return Over(layout, slab, tokens, owned: true, sequences);
    }

    /// <summary>Bytes that <see cref="Over"/> needs for room for <paramref name="tokens"/> tokens, tails included.</summary>
    public static long RequiredBytes(KvCacheLayout layout, long tokens, int sequences = 0) => layout.Groups.Sum(g =>
        KvBlockPool.RequiredBytes(g, Blocks(g, tokens)) + TailBytes(g, Tails(g, (long)Blocks(g, tokens) * g.BlockTokens, sequences)));

    /// <summary>Lays a cache over one region, own or shared. With <paramref name="owned"/> the cache disposes the region.</summary>
    public static PagedKvCache Over(KvCacheLayout layout, MemoryRegion region, long tokens, bool owned = false, int sequences = 0)
    {
        var pools = ImmutableArray.CreateBuilder<KvBlockPool>(layout.Groups.Length);
        long offset = 0;
        foreach (LayerGroup group in layout.Groups)
        {
            int slots = Blocks(group, tokens);
            pools.Add(KvBlockPool.Over(group, region, slots, offset));
            offset += KvBlockPool.RequiredBytes(group, slots);
        }

        return new PagedKvCache(layout, pools.MoveToImmutable(), owned ? region : null, region, offset, sequences);
    }

    /// <summary>A cache that another process owns, over its memory as it is mapped here: only sequences whose slots it granted are made of it.</summary>
    internal static PagedKvCache Borrow(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools, ImmutableArray<KvBlockPool?> tailPools) => new(layout, pools, tailPools);

    /// <summary>An empty sequence of this cache.</summary>
    public KvSequence CreateSequence() => new(this);

    /// <summary>Tokens that a new sequence could still be given, in the tightest group; 0 when no tail is free where one is needed.</summary>
    public long FreeTokens =>
        TailPools.Any(t => t is { FreeSlots: 0 }) ? 0 : Pools.Min(p => (long)p.FreeSlots * p.Group.BlockTokens);

    /// <summary>Blocks and tails held by sequences or transfers, over all groups.</summary>
    public int UsedBlocks => Pools.Sum(p => p.Capacity - p.FreeSlots) + TailPools.Sum(t => t is null ? 0 : t.Capacity - t.FreeSlots);

    /// <summary>Frees the memory if the cache allocated it. Sequences must not be used afterwards.</summary>
    public void Dispose()
    {
        foreach (MemoryRegion? region in _owned) region?.Dispose();
    }

    private static int Blocks(LayerGroup group, long tokens) => checked((int)((tokens + group.BlockTokens - 1) / group.BlockTokens));

    private static int Tails(LayerGroup group, long tokens, int sequences)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sequences);
        if (!group.HasTail) return 0;
        return sequences != 0 ? sequences : (int)Math.Max(LeastTails, tokens / TokensPerTail);
    }

    private static long TailBytes(LayerGroup group, int tails) => tails == 0 ? 0 : KvBlockPool.RequiredBytes(group.Tail, tails);

    private static KvBlockPool? TailPool(KvBlockPool pool, MemoryRegion? region, ref long offset, int sequences)
    {
        int tails = Tails(pool.Group, (long)pool.Capacity * pool.Group.BlockTokens, sequences);
        if (tails == 0) return null;
        KvBlockPool tail = KvBlockPool.Over(pool.Group.Tail, region!, tails, offset);
        offset += TailBytes(pool.Group, tails);
        return tail;
    }
}
