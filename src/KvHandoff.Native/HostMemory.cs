using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Native;

/// <summary>Pools over memory of the host: one base and strides, or one base per layer where every layer is a tensor of its own.</summary>
static unsafe class HostMemory
{
    /// <summary>The pools of a layout, and the regions that were made for them.</summary>
    internal static ImmutableArray<KvBlockPool> Wrap(KvCacheLayout layout, KvhGroupMemory* groups, List<MemoryRegion> regions)
    {
        var pools = ImmutableArray.CreateBuilder<KvBlockPool>(layout.Groups.Length);
        for (int g = 0; g < layout.Groups.Length; g++) pools.Add(Pool(layout.Groups[g], HostStructs.ReadAt(groups, g), regions));
        return pools.MoveToImmutable();
    }

    static KvBlockPool Pool(LayerGroup group, KvhGroupMemory memory, List<MemoryRegion> regions)
    {
        HostStructs.RequireRange(memory.Blocks, 1, int.MaxValue, "blocks");
        bool apart = memory.ValuesOffsetBytes != 0 || memory.ValueBases != null;
        BlockGeometry block = group.Geometry;
        long stride = memory.BlockStrideBytes != 0 ? memory.BlockStrideBytes : apart ? block.PlaneBytes : block.BlockBytes;
        if (stride < 0) throw new StatusException(Status.Argument, $"block_stride_bytes is {stride}; it must not be negative.");
        var storage = new LayerStorage[group.Layers.Length];
        if (memory.LayerBases != null)
        {
            if (memory.BaseCount != storage.Length) throw new StatusException(Status.Argument, $"base_count is {memory.BaseCount}; the group has {storage.Length} layers.");
            for (int i = 0; i < storage.Length; i++)
            {
                MemoryRegion keys = Region(memory.LayerBases[i], memory.LengthBytes, regions);
                MemoryRegion values = memory.ValueBases == null ? keys : Region(memory.ValueBases[i], memory.LengthBytes, regions);
                storage[i] = Layer(keys, values, memory.OffsetBytes, stride, memory.ValuesOffsetBytes, apart);
            }
        }
        else
        {
            if (memory.ValueBases != null) throw new StatusException(Status.Argument, "value_bases are given without layer_bases.");
            MemoryRegion region = Region(memory.Base, memory.LengthBytes, regions);
            for (int i = 0; i < storage.Length; i++) storage[i] = Layer(region, region, checked(memory.OffsetBytes + i * memory.LayerStrideBytes), stride, memory.ValuesOffsetBytes, apart);
            RequireDisjoint(storage, memory, stride, apart ? block.PlaneBytes : block.BlockBytes);
        }

        return new KvBlockPool(group, storage, memory.Blocks);
    }

    static LayerStorage Layer(MemoryRegion keys, MemoryRegion values, long offset, long stride, long valuesOffset, bool apart)
    {
        var storage = new LayerStorage(keys, offset, stride);
        return apart ? storage with { Values = new PlaneStorage(values, checked(offset + valuesOffset), stride) } : storage;
    }

    // Layers after one another, or interleaved within a block's stride; anything else would lay one block over another.
    static void RequireDisjoint(LayerStorage[] storage, KvhGroupMemory memory, long blockStride, int bytes)
    {
        if (storage.Length == 1) return;
        long layers = Math.Abs(memory.LayerStrideBytes), allBlocks = checked(blockStride * (memory.Blocks - 1) + bytes);
        bool afterOneAnother = layers >= allBlocks, within = layers >= bytes && checked(layers * (storage.Length - 1) + bytes) <= blockStride;
        if (!afterOneAnother && !within)
            throw new StatusException(Status.Argument, $"layer_stride_bytes is {memory.LayerStrideBytes}: the blocks of {storage.Length} layers, {memory.Blocks} of {bytes} bytes at a distance of {blockStride}, lie over one another.");
    }

    static MemoryRegion Region(void* address, long length, List<MemoryRegion> regions)
    {
        if (address == null) throw new StatusException(Status.Null, "A base of the host's memory is null.");
        if (length <= 0) throw new StatusException(Status.Argument, $"length_bytes is {length}; it must be positive.");
        MemoryRegion region = HostRegion.Wrap((nint)address, length);
        regions.Add(region);
        return region;
    }
}
