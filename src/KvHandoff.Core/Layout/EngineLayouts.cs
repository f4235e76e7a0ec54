using System.Collections.Immutable;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>What a model and its parallelism fix of an engine's cache: everything but the engine's own order and block size.</summary>
/// <param name="Layers">Model layers that the worker caches, ascending.</param>
/// <param name="KvHeads">Key/value heads per worker; 1 for a latent cache.</param>
/// <param name="HeadDim">Head dimension, or latent + rope dimensions of a latent cache (512 + 64).</param>
/// <param name="ElementType">Type of the stored elements.</param>
public sealed record EngineCacheShape(ImmutableArray<int> Layers, int KvHeads, int HeadDim, ElementType ElementType)
{
    /// <summary>Layers 0 .. <paramref name="layers"/> - 1.</summary>
    public EngineCacheShape(int layers, int kvHeads, int headDim, ElementType elementType)
        : this(KvCacheLayout.AllLayers(layers), kvHeads, headDim, elementType)
    {
    }
}

/// <summary>Where a contiguous tensor of an engine starts.</summary>
/// <param name="Region">Memory of the engine; it must outlive the pools made over it.</param>
/// <param name="OffsetBytes">First byte of the tensor.</param>
public readonly record struct EngineTensor(MemoryRegion Region, long OffsetBytes = 0);

/// <summary>
/// The caches of engines as they lie in memory: for each a <see cref="LayerGroup"/> and a <see cref="KvBlockPool"/> over the engine's
/// own tensors. Slot s of a pool is the engine's block or page s. <c>docs/layouts.md</c> names the sources.
/// </summary>
/// <remarks>
/// FP8 elements have one static scale per tensor where the engine applies one: set it with <see cref="KvBlockPool.SetStaticScale"/>, else
/// it is 1. Where the engine keeps block 0 for itself, the pool's slot 0 is taken and never granted. All methods throw
/// <see cref="KvLayoutException"/> for a shape that no cache can have and <see cref="ArgumentException"/> for tensors that are too small
/// or too few. Thread-safe.
/// </remarks>
public static partial class EngineLayouts
{
    private static LayerGroup Group(EngineCacheShape shape, DimensionOrder order, int blockTokens, bool scaledFp8, bool latent = false)
    {
        ArgumentNullException.ThrowIfNull(shape);
        bool scaled = scaledFp8 && shape.ElementType is ElementType.Fp8E4M3 or ElementType.Fp8E5M2;
        ScaleKind scales = scaled ? ScaleKind.PerTensor : ScaleKind.None;
        var group = new LayerGroup
        {
            Kind = latent ? AttentionKind.Latent : AttentionKind.Full,
            Layers = shape.Layers,
            KvHeads = shape.KvHeads,
            HeadDim = shape.HeadDim,
            ElementType = shape.ElementType,
            KeyScaleKind = scales,
            ValueScaleKind = scales,
            Order = order,
            BlockTokens = blockTokens,
        };
        group.Validate();
        return group;
    }

    /// <summary>One tensor per layer that starts with [K, V][block].</summary>
    private static KvBlockPool PlanesThenBlocks(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(blocks);
        var values = new EngineTensor[layers.Length];
        for (int i = 0; i < layers.Length; i++)
            values[i] = layers[i] with { OffsetBytes = layers[i].OffsetBytes + (long)blocks * group.Geometry.PlaneBytes };
        return KeysAndValues(group, layers, values, blocks);
    }

    /// <summary>Two tensors per layer, each of which starts with [block].</summary>
    private static KvBlockPool KeysAndValues(LayerGroup group, ReadOnlySpan<EngineTensor> keys, ReadOnlySpan<EngineTensor> values, int blocks)
    {
        if (keys.Length != values.Length) throw new ArgumentException($"{keys.Length} key tensors and {values.Length} value tensors were given.", nameof(values));
        int bytes = group.Geometry.PlaneBytes;
        var storage = new LayerStorage[keys.Length];
        for (int i = 0; i < storage.Length; i++)
            storage[i] = new LayerStorage(keys[i].Region, keys[i].OffsetBytes, bytes) { Values = new PlaneStorage(values[i].Region, values[i].OffsetBytes, bytes) };
        return new KvBlockPool(group, storage, blocks);
    }

    /// <summary>One tensor per layer that starts with [block]; K and V of a block lie together.</summary>
    private static KvBlockPool Blocks(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks)
    {
        var storage = new LayerStorage[layers.Length];
        for (int i = 0; i < storage.Length; i++) storage[i] = new LayerStorage(layers[i].Region, layers[i].OffsetBytes, group.Geometry.BlockBytes);
        return new KvBlockPool(group, storage, blocks);
    }

    /// <summary>One tensor for all layers that starts with [block][layer].</summary>
    private static KvBlockPool BlocksThenLayers(LayerGroup group, EngineTensor tensor, int blocks)
    {
        int bytes = group.Geometry.BlockBytes, layers = group.Layers.Length;
        var storage = new LayerStorage[layers];
        for (int i = 0; i < layers; i++) storage[i] = new LayerStorage(tensor.Region, tensor.OffsetBytes + (long)i * bytes, (long)layers * bytes);
        return new KvBlockPool(group, storage, blocks);
    }

    /// <summary>Takes slot 0, which a new pool grants first, for good.</summary>
    private static KvBlockPool WithoutBlockZero(KvBlockPool pool)
    {
        Span<SlotHandle> zero = stackalloc SlotHandle[1];
        if (!pool.TryAllocate(zero) || zero[0].Slot != 0) throw new InvalidOperationException($"A new pool granted slot {zero[0]} before slot 0.");
        return pool;
    }
}
