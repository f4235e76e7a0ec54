using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Accuracy;

/// <summary>Static scales as an engine calibrates them: the largest magnitude of each (layer, kv head, K|V) in the data becomes the largest code.</summary>
internal sealed class StaticScales
{
    private const float LargestE4M3 = 448;

    private readonly float[,,] _largest;

    /// <summary>Looks at every element of BF16 sequences.</summary>
    internal StaticScales(IReadOnlyList<KvSequence> sequences)
    {
        KvCacheLayout layout = sequences[0].Cache.Layout;
        LayerGroup group = layout.Groups[0];
        _largest = new float[layout.LayerCount, group.KvHeads, group.Planes];
        var channels = new float[group.HeadDim];
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            for (int head = 0; head < group.KvHeads; head++)
            {
                for (int plane = 0; plane < group.Planes; plane++)
                {
                    channels.AsSpan().Clear();
                    foreach (KvSequence sequence in sequences)
                    {
                        KvLayerView view = sequence.View(layer);
                        for (int token = 0; token < view.Tokens; token++)
                            ChannelScaledPacking.AccumulateMagnitudes(view.Row(head, (KvPlane)plane, token), group.RowBytes, ElementType.BFloat16, 1, group.HeadDim, channels);
                    }

                    _largest[layer, head, plane] = channels.Max();
                }
            }
        }
    }

    /// <summary>Sets the scales of a cache, where it has static ones.</summary>
    internal void Apply(PagedKvCache cache)
    {
        KvBlockPool pool = cache.Pools[0];
        for (int plane = 0; plane < pool.Group.Planes; plane++)
        {
            StorageForm form = pool.Group.Form((KvPlane)plane);
            if (form.ScaleKind is not (ScaleKind.PerTensor or ScaleKind.PerHead)) continue;
            float code = form.ElementType == ElementType.Int8 ? sbyte.MaxValue : LargestE4M3;
            for (int layer = 0; layer < pool.Group.Layers.Length; layer++)
            {
                float tensor = Enumerable.Range(0, pool.Group.KvHeads).Max(head => _largest[layer, head, plane]);
                for (int head = 0; head < pool.Group.KvHeads; head++)
                    pool.SetStaticScale(layer, head, (KvPlane)plane, (form.ScaleKind == ScaleKind.PerTensor ? tensor : _largest[layer, head, plane]) / code);
            }
        }
    }
}
