using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Layout;

/// <summary>
/// A worker's KV cache: one block pool per layer group, and sequences that hold blocks of them.
/// </summary>
/// <remarks>Creating and disposing sequences is thread-safe; one sequence is used by one thread at a time.</remarks>
public sealed class PagedKvCache : IDisposable
{
    private readonly MemoryRegion? _owned;

    /// <summary>A cache over pools that the caller made, for instance over the host engine's memory.</summary>
    /// <exception cref="KvLayoutException">A pool does not match its group.</exception>
    public PagedKvCache(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools) : this(layout, pools, null) { }

    private PagedKvCache(KvCacheLayout layout, ImmutableArray<KvBlockPool> pools, MemoryRegion? owned)
    {
        if (pools.Length != layout.Groups.Length)
            throw new KvLayoutException($"{pools.Length} pools were given; the layout has {layout.Groups.Length} groups.");
        for (int g = 0; g < pools.Length; g++)
        {
            if (!pools[g].Group.Equals(layout.Groups[g])) throw new KvLayoutException($"Pool {g} was made for another layer group than the layout's.");
        }

        Layout = layout;
        Pools = pools;
        _owned = owned;
    }

    /// <summary>What the cache holds.</summary>
    public KvCacheLayout Layout { get; }

    /// <summary>One pool per layer group.</summary>
    public ImmutableArray<KvBlockPool> Pools { get; }

    /// <summary>Allocates a cache with room for <paramref name="tokens"/> tokens in every group (rounded up to whole blocks).</summary>
    public static PagedKvCache Allocate(KvCacheLayout layout, long tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(tokens);
        NativeSlab slab = NativeSlab.Allocate(RequiredBytes(layout, tokens));
        return Over(layout, slab, tokens, owned: true);
    }

    /// <summary>Bytes that <see cref="Over"/> needs for room for <paramref name="tokens"/> tokens.</summary>
    public static long RequiredBytes(KvCacheLayout layout, long tokens) =>
        layout.Groups.Sum(g => KvBlockPool.RequiredBytes(g, Blocks(g, tokens)));

    /// <summary>Lays a cache over one region, own or shared. With <paramref name="owned"/> the cache disposes the region.</summary>
    public static PagedKvCache Over(KvCacheLayout layout, MemoryRegion region, long tokens, bool owned = false)
    {
        var pools = ImmutableArray.CreateBuilder<KvBlockPool>(layout.Groups.Length);
        long offset = 0;
        foreach (LayerGroup group in layout.Groups)
        {
            int slots = Blocks(group, tokens);
            pools.Add(KvBlockPool.Over(group, region, slots, offset));
            offset += KvBlockPool.RequiredBytes(group, slots);
        }

        return new PagedKvCache(layout, pools.MoveToImmutable(), owned ? region : null);
    }

    /// <summary>An empty sequence of this cache.</summary>
    public KvSequence CreateSequence() => new(this);

    /// <summary>Tokens that a new sequence could still be given, in the tightest group.</summary>
    public long FreeTokens => Pools.Min(p => (long)p.FreeSlots * p.Group.BlockTokens);

    /// <summary>Blocks held by sequences or transfers, over all groups.</summary>
    public int UsedBlocks => Pools.Sum(p => p.Capacity - p.FreeSlots);

    /// <summary>Frees the memory if the cache allocated it. Sequences must not be used afterwards.</summary>
    public void Dispose() => _owned?.Dispose();

    private static int Blocks(LayerGroup group, long tokens) => checked((int)((tokens + group.BlockTokens - 1) / group.BlockTokens));
}
