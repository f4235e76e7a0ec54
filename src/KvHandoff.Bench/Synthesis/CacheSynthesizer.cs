using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Synthesis;

/// <summary>
/// Fills a sequence with a cache's worth of plausible rows from a seed, and finds out afterwards whether another process's cache holds
/// exactly those bytes. BF16 caches of any geometry.
/// </summary>
internal sealed class CacheSynthesizer(KvCacheLayout layout, ulong seed)
{
    /// <summary>Writes tokens 0 .. <paramref name="tokens"/> - 1 of every layer, on all cores.</summary>
    internal void Fill(KvSequence sequence, int tokens)
    {
        Parallel.ForEach(Streams(), stream =>
        {
            var rows = new RowStream(seed, stream.Layer, stream.Head, stream.Plane == KvPlane.Key, layout.Group(stream.Layer).HeadDim);
            KvLayerView view = sequence.View(stream.Layer, tokens);
            for (int t = 0; t < tokens; t++) rows.Next(view.Row(stream.Head, stream.Plane, t));
        });
    }

    /// <summary>Writes tokens 0 .. <paramref name="tokens"/> - 1 of one layer on this thread, wherever its view lies.</summary>
    internal void FillLayer(int layer, KvLayerView view, int tokens)
    {
        foreach (RowStreamId stream in Streams().Where(s => s.Layer == layer))
        {
            RowStream rows = Open(stream);
            for (int t = 0; t < tokens; t++) rows.Next(view.Row(stream.Head, stream.Plane, t));
        }
    }

    /// <summary>Every (layer, kv head, plane) of the layout: each is generated and compared on its own.</summary>
    internal IEnumerable<RowStreamId> Streams()
    {
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            LayerGroup group = layout.Group(layer);
            if (group.ElementType != ElementType.BFloat16)
                throw new NotSupportedException($"Layer {layer} stores {group.ElementType.Name()}; the synthesizer writes bf16.");
            for (int head = 0; head < group.KvHeads; head++)
                for (int plane = 0; plane < group.Planes; plane++) yield return new RowStreamId(layer, head, (KvPlane)plane);
        }
    }

    /// <summary>The rows of one stream, from token 0.</summary>
    internal RowStream Open(RowStreamId id) => new(seed, id.Layer, id.Head, id.Plane == KvPlane.Key, layout.Group(id.Layer).HeadDim);
}

/// <summary>Names one stream of rows.</summary>
internal readonly record struct RowStreamId(int Layer, int Head, KvPlane Plane);
