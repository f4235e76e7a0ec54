using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

/// <summary>Caches whose blocks hold 8-bit codes with scales, filled with seeded rows.</summary>
internal static class PackedCase
{
    internal static readonly ModelIdentity Model = new("packed", "1", 10000);

    /// <summary>Every form that has scales in its blocks, and the two with a static one.</summary>
    internal static TheoryData<string> Names => ["fp8", "fp8-bf16", "e5m2", "int8", "int8-token", "mxfp8", "fp8-tensor", "int8-head"];

    internal static LayerGroup Group(string name, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor, int kvHeads = 3, int headDim = 48)
    {
        var group = new LayerGroup { Layers = [0, 1], KvHeads = kvHeads, HeadDim = headDim, BlockTokens = blockTokens, Order = order };
        return name switch
        {
            "bf16" => group,
            "fp32" => group with { ElementType = ElementType.Float32 },
            "fp8" => With(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
            "fp8-bf16" => With(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead) with { ScaleType = ScaleType.BFloat16 },
            "e5m2" => With(ElementType.Fp8E5M2, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
            "int8" => With(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead),
            "int8-token" => With(ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
            "mxfp8" => With(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32) with { ScaleType = ScaleType.E8M0 },
            "fp8-tensor" => With(ElementType.Fp8E4M3, ScaleKind.PerTensor, ScaleKind.PerTensor),
            "int8-head" => With(ElementType.Int8, ScaleKind.PerHead, ScaleKind.PerHead),
            _ => throw new ArgumentException(name),
        };

        LayerGroup With(ElementType element, ScaleKind keys, ScaleKind values) => group with { ElementType = element, KeyScaleKind = keys, ValueScaleKind = values };
    }

    internal static PagedKvCache Cache(LayerGroup group, int tokens)
    {
        PagedKvCache cache = PagedKvCache.Allocate(new KvCacheLayout(Model, [group]), tokens);
        foreach (KvBlockPool pool in cache.Pools)
        {
            pool.Fill(0xA5);
            if (group.KeyScaleKind is not (ScaleKind.PerTensor or ScaleKind.PerHead)) continue;
            for (int layer = 0; layer < 2; layer++)
            {
                for (int head = 0; head < group.KvHeads; head++)
                {
                    pool.SetStaticScale(layer, head, KvPlane.Key, 1f / 32);
                    pool.SetStaticScale(layer, head, KvPlane.Value, 1f / 64);
                }
            }
        }

        return cache;
    }

    /// <summary><c>[token][head][dim]</c>: rows of very different magnitude, and one large channel.</summary>
    internal static float[] Rows(LayerGroup group, int tokens, int seed)
    {
        var random = new Random(seed);
        var rows = new float[tokens * group.KvHeads * group.HeadDim];
        for (int i = 0; i < rows.Length; i++)
        {
            double magnitude = i % group.HeadDim == 5 ? 2 : 0.25;
            rows[i] = (float)((random.NextDouble() * 2 - 1) * magnitude);
        }

        return rows;
    }

    /// <summary>A filled sequence; <paramref name="rounded"/>: from rows that a BF16 cache would have held.</summary>
    internal static KvSequence Fill(PagedKvCache cache, int tokens, int seed, int chunk = int.MaxValue, bool rounded = false)
    {
        LayerGroup group = cache.Layout.Groups[0];
        KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(tokens));
        for (int layer = 0; layer < 2; layer++) Append(sequence, layer, 0, Filling(seed + layer), Filling(seed + 7 + layer), chunk);
        sequence.Advance(tokens);
        return sequence;

        float[] Filling(int rowsSeed) => rounded ? [.. Rows(group, tokens, rowsSeed).Select(x => (float)(BFloat16)x)] : Rows(group, tokens, rowsSeed);
    }

    internal static void Append(KvSequence sequence, int layer, int start, float[] keys, float[] values, int chunk = int.MaxValue)
    {
        LayerGroup group = sequence.Cache.Layout.Groups[0];
        int perToken = group.KvHeads * group.HeadDim, tokens = keys.Length / perToken;
        for (int done = 0; done < tokens;)
        {
            int step = Math.Min(chunk, tokens - done);
            sequence.WriteRows(layer, start + done, keys.AsSpan(done * perToken, step * perToken), values.AsSpan(done * perToken, step * perToken));
            done += step;
        }
    }

    /// <summary>All rows of one head as fp32, packed or not.</summary>
    internal static float[] Unpack(KvSequence sequence, int layer, int head, KvPlane plane)
    {
        KvLayerView view = sequence.View(layer);
        var rows = new float[view.Tokens * view.Group.HeadDim];
        StoredRows.Unpack(view, head, plane, 0, new RowRuns(MemoryMarshal.AsBytes(rows.AsSpan()), view.Group.HeadDim * sizeof(float)), ElementType.Float32);
        return rows;
    }
}
