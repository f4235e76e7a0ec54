using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.TorchSharp.Tests;

/// <summary>One sequence in a cache of one layer, its blocks scattered and every byte that holds no row part of a NaN.</summary>
sealed class CacheCase : IDisposable
{
    public CacheCase(LayerGroup group, int tokens, int seed = 1)
    {
        Cache = PagedKvCache.Allocate(new KvCacheLayout(new ModelIdentity("torch", "1", 10000), [group]), tokens + 3 * group.BlockTokens);
        KvBlockPool pool = Cache.Pools[0];
        pool.Fill(0xFF);
        Scatter(pool, new Random(seed));
        for (int head = 0; head < group.KvHeads; head++)
        {
            if (group.KeyScaleKind is ScaleKind.PerTensor or ScaleKind.PerHead) pool.SetStaticScale(0, head, KvPlane.Key, 1f / 32);
            if (group.ValueScaleKind is ScaleKind.PerTensor or ScaleKind.PerHead) pool.SetStaticScale(0, head, KvPlane.Value, 1f / 64);
        }

        Sequence = Cache.CreateSequence();
        Assert.True(Sequence.TryReserve(tokens));
    }

    public PagedKvCache Cache { get; }

    public KvSequence Sequence { get; }

    public KvLayerView View => Sequence.View(0);

    /// <summary>Every storage form by name.</summary>
    public static LayerGroup Group(string name, int kvHeads, int headDim, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor)
    {
        var group = new LayerGroup { Layers = [0], KvHeads = kvHeads, HeadDim = headDim, BlockTokens = blockTokens, Order = order };
        return name switch
        {
            "fp32" => group with { ElementType = ElementType.Float32 },
            "fp16" => group with { ElementType = ElementType.Float16 },
            "bf16" => group,
            "fp8-e4m3" => group with { ElementType = ElementType.Fp8E4M3 },
            "fp8-e5m2" => group with { ElementType = ElementType.Fp8E5M2 },
            "fp8-token" => Scaled(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
            "fp8-tensor" => Scaled(ElementType.Fp8E4M3, ScaleKind.PerTensor, ScaleKind.PerTensor),
            "mxfp8" => Scaled(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32) with { ScaleType = ScaleType.E8M0 },
            "int8-channel" => Scaled(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead),
            "int8-token" => Scaled(ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
            "int8-head" => Scaled(ElementType.Int8, ScaleKind.PerHead, ScaleKind.PerHead),
            _ => throw new ArgumentException(name),
        };

        LayerGroup Scaled(ElementType type, ScaleKind keys, ScaleKind values) => group with { ElementType = type, KeyScaleKind = keys, ValueScaleKind = values };
    }

    /// <summary>Fills the sequence with seeded rows.</summary>
    public CacheCase Fill(int tokens, int seed = 11)
    {
        LayerGroup group = Cache.Layout.Groups[0];
        float[] keys = Numbers.Normal(seed, tokens, group.KvHeads, group.HeadDim);
        float[] values = group.Planes == 2 ? Numbers.Normal(seed + 1, tokens, group.KvHeads, group.HeadDim) : [];
        Sequence.WriteRows(0, 0, keys, values);
        Sequence.Advance(tokens);
        return this;
    }

    public void Dispose()
    {
        Sequence.Dispose();
        Cache.Dispose();
    }

    // Slots given back in another order are granted in another order.
    static void Scatter(KvBlockPool pool, Random random)
    {
        var slots = new SlotHandle[pool.Capacity];
        Assert.True(pool.TryAllocate(slots));
        random.Shuffle(slots);
        foreach (SlotHandle slot in slots) pool.Release(slot);
    }
}
