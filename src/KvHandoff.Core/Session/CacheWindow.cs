using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A receiver's cache as a sender that writes into it sees it: where the blocks of every layer lie in the memory that the receiver shares. Per layer group
/// the slots u32, then per layer the region u32, the offset i64 and the stride i64; the same for its tails, with 0 slots where it has none.
/// </summary>
internal static class CacheWindow
{
    private const int LayerBytes = sizeof(uint) + 2 * sizeof(long), MostRegions = 16;

    /// <summary>The regions that hold the blocks, or none when a sender could not write there by itself.</summary>
    internal static ImmutableArray<SharedSlab> RegionsOf(PagedKvCache cache)
    {
        ImmutableArray<MemoryRegion> regions = RemoteRegionsOf(cache);
        return regions.All(r => r is SharedSlab) ? [.. regions.Cast<SharedSlab>()] : [];
    }

    /// <summary>The regions that hold the blocks, whatever they are, or none when they could not be described.</summary>
    internal static ImmutableArray<MemoryRegion> RemoteRegionsOf(PagedKvCache cache)
    {
        var regions = new List<MemoryRegion>();
        foreach (KvBlockPool? pool in cache.Pools.Concat(cache.TailPools))
        {
            if (pool is null) continue;
            if (pool.KeepsPlanesApart) return [];
            foreach (LayerStorage storage in pool.Storage.ToArray())
                if (!regions.Contains(storage.Region)) regions.Add(storage.Region);
        }

        return regions.Count > MostRegions ? [] : [.. regions];
    }

    /// <summary>Describes a cache over <paramref name="regions"/>.</summary>
    internal static ByteValue Write(PagedKvCache cache, ImmutableArray<SharedSlab> regions) => Describe(cache, ImmutableArray<MemoryRegion>.CastUp(regions));

    /// <summary>As above, over memory of any kind.</summary>
    internal static ByteValue Describe(PagedKvCache cache, ImmutableArray<MemoryRegion> regions)
    {
        var bytes = new List<byte>();
        for (int g = 0; g < cache.Pools.Length; g++)
        {
            Write(cache.Pools[g], regions, bytes);
            if (cache.TailPools[g] is { } tails) Write(tails, regions, bytes);
            else Append(bytes, 0, sizeof(uint));
        }

        return bytes.Count > WireConstants.MaxWindowBytes ? default(ByteValue) : bytes.ToArray();
    }

    /// <summary>The receiver's cache over the regions as they are mapped here; null, or why it cannot be.</summary>
    internal static string? TryRead(ReadOnlySpan<byte> bytes, KvCacheLayout layout, ImmutableArray<MemoryRegion> regions, out PagedKvCache? cache)
    {
        cache = null;
        var pools = ImmutableArray.CreateBuilder<KvBlockPool>();
        var tails = ImmutableArray.CreateBuilder<KvBlockPool?>();
        foreach (LayerGroup group in layout.Groups)
        {
            if (TryRead(ref bytes, group, regions, out KvBlockPool? pool) is { } wrong) return wrong;
            if (pool is null) return $"Group {pools.Count} has no blocks.";
            pools.Add(pool);
            KvBlockPool? tail = null;
            if (group.HasTail && TryRead(ref bytes, group.Tail, regions, out tail) is { } wrongTail) return wrongTail;
            if (group.HasTail && tail is null) return $"Group {pools.Count - 1} has no tails.";
            if (!group.HasTail && Skip(ref bytes) is { } extra) return extra;
            tails.Add(tail);
        }

        if (!bytes.IsEmpty) return $"{bytes.Length} bytes follow the description of the window.";
        cache = PagedKvCache.Borrow(layout, pools.ToImmutable(), tails.ToImmutable());
        return null;
    }

    private static void Write(KvBlockPool pool, ImmutableArray<MemoryRegion> regions, List<byte> bytes)
    {
        Append(bytes, pool.Capacity, sizeof(uint));
        foreach (LayerStorage storage in pool.Storage.ToArray())
        {
            Append(bytes, regions.IndexOf(storage.Region), sizeof(uint));
            Append(bytes, storage.OffsetBytes, sizeof(long));
            Append(bytes, storage.StrideBytes, sizeof(long));
        }
    }

    private static void Append(List<byte> bytes, long value, int size)
    {
        for (int i = 0; i < size; i++) bytes.Add((byte)(value >> (8 * i)));
    }

    private static string? TryRead(ref ReadOnlySpan<byte> bytes, LayerGroup group, ImmutableArray<MemoryRegion> regions, out KvBlockPool? pool)
    {
        pool = null;
        int needed = sizeof(uint) + group.Layers.Length * LayerBytes;
        if (bytes.Length < needed) return $"The window's description ends after {bytes.Length} bytes; {needed} were expected.";
        uint slots = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (slots is 0 or > int.MaxValue) return $"The window claims {slots} slots; allowed: 1 to {int.MaxValue}.";
        bytes = bytes[sizeof(uint)..];
        var storage = new LayerStorage[group.Layers.Length];
        long blockBytes = group.Geometry.BlockBytes;
        for (int i = 0; i < storage.Length; i++, bytes = bytes[LayerBytes..])
        {
            uint region = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            long offset = BinaryPrimitives.ReadInt64LittleEndian(bytes[sizeof(uint)..]), stride = BinaryPrimitives.ReadInt64LittleEndian(bytes[(sizeof(uint) + sizeof(long))..]);
            if (region >= regions.Length) return $"The window names region {region}; {regions.Length} are shared.";
            long length = regions[(int)region].LengthBytes;
            // In this order nothing overflows: what is subtracted is smaller than what it is subtracted from.
            bool inside = offset >= 0 && stride >= blockBytes && blockBytes <= length && offset <= length - blockBytes && stride <= length && (slots - 1) <= (length - blockBytes - offset) / stride;
            if (!inside) return $"The window's {slots} blocks of {blockBytes} bytes from {offset} every {stride} bytes do not fit into {length}.";
            storage[i] = new LayerStorage(regions[(int)region], offset, stride);
        }

        pool = new KvBlockPool(group, storage, (int)slots);
        return null;
    }

    private static string? Skip(ref ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < sizeof(uint) || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != 0) return "The window describes tails of a group that has none.";
        bytes = bytes[sizeof(uint)..];
        return null;
    }
}
