using System.Runtime.InteropServices;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

/// <summary>What a committed sequence has to be: each segment encoded and decoded once, without a wire in between.</summary>
internal static class RowOracle
{
    /// <summary>A sequence of seeded rows.</summary>
    internal static KvSequence Fill(PagedKvCache cache, int tokens, int seed)
    {
        KvSequence sequence = cache.CreateSequence();
        if (!sequence.TryReserve(tokens)) throw new InvalidOperationException($"The lab's cache has no room for {tokens} tokens.");
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            (float[] keys, float[] values) = Rows(cache.Layout, layer, tokens, seed);
            sequence.WriteRows(layer, 0, keys, values);
        }

        sequence.Advance(tokens);
        return sequence;
    }

    /// <summary>Rows of one layer, <c>[token][head][dim]</c>; no values for latents.</summary>
    internal static (float[] Keys, float[] Values) Rows(KvCacheLayout layout, int layer, int tokens, int seed)
    {
        var random = new Random(seed * 31 + layer);
        LayerGroup group = layout.Group(layer);
        float[] keys = new float[tokens * group.KvHeads * group.HeadDim], values = new float[group.Planes == 2 ? keys.Length : 0];
        foreach (ref float x in keys.AsSpan()) x = random.NextSingle() * 8 - 4;
        foreach (ref float x in values.AsSpan()) x = random.NextSingle() * 2 - 1;
        return (keys, values);
    }

    internal static HandoffManifest Manifest(int tokens, int seed) =>
        new([.. Enumerable.Range(seed & 0xFFFF, tokens)], tokens, FirstToken: seed & 0xFF, SamplerState: BitConverter.GetBytes(seed), HostMetadata: new byte[] { 7 });

    /// <summary>Where a landed sequence differs from what the source makes it, or null.</summary>
    internal static string? Difference(TransferPlan plan, CodecId codec, KvSequence source, KvSequence landed)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(plan.Target, source.Tokens);
        using KvSequence expected = cache.CreateSequence();
        return Decode(plan, codec, source, expected) ?? Difference(expected, landed, KvShard.Whole(plan.Target, source.Tokens));
    }

    /// <summary>Makes of a source's rows what a receiver has to have; null, or what does not decode.</summary>
    internal static string? Decode(TransferPlan plan, CodecId codecId, KvSequence source, KvSequence expected)
    {
        KvCodecs.TryGet(codecId, out IKvCodec? codec);
        expected.TryReserve(source.Tokens);
        byte[] encoded = [];
        for (int layer = 0; layer < plan.Target.LayerCount; layer++)
        {
            GroupTransfer transfer = plan.Groups[plan.Target.GroupOf(layer)];
            KvLayerView from = source.View(layer), to = expected.View(layer, source.Tokens);
            for (int head = 0; head < to.Geometry.KvHeads; head++)
            {
                for (int p = 0; p < to.Geometry.Planes; p++)
                {
                    var plane = (KvPlane)p;
                    byte[] history = new byte[SegmentCoder.HistoryBytes(transfer, codec!)];
                    for (int granule = 0; granule < KvSegment.GranuleCount(source.Tokens); granule++)
                    {
                        int most = SegmentCoder.MaxEncodedBytes(transfer, codec!, plane, KvSegment.TokensIn(granule, source.Tokens));
                        if (encoded.Length < most) encoded = new byte[most];
                        EncodedSegment segment = SegmentCoder.Encode(transfer, codec!, from, head, plane, granule, history, encoded);
                        if (!SegmentCoder.TryDecode(transfer, codec!, encoded.AsSpan(0, segment.Bytes), to, head, plane, granule, out string? error)) return error;
                    }
                }
            }
        }

        expected.Advance(source.Tokens);
        return null;
    }

    /// <summary>Where a landed part differs from that part of the whole, or null: numbers as they are attended to, scales and tails included.</summary>
    internal static string? Difference(KvSequence whole, KvSequence landed, KvShard part)
    {
        if (landed.Tokens != part.Tokens.Count) return $"{landed.Tokens} tokens landed of {part.Tokens.Count}";
        KvCacheLayout layout = whole.Cache.Layout;
        for (int layer = 0; layer < landed.Cache.Layout.LayerCount; layer++)
        {
            int of = layer + part.Layers.Start, firstHead = part.HeadsOf(layout, layout.GroupOf(of)).Start;
            KvLayerView expected = whole.View(of), actual = landed.View(layer);
            for (int head = 0; head < actual.Geometry.KvHeads; head++)
            {
                for (int plane = 0; plane < actual.Geometry.Planes; plane++)
                {
                    float[] a = Numbers(expected, head + firstHead, (KvPlane)plane), b = Numbers(actual, head, (KvPlane)plane);
                    int dim = actual.Group.HeadDim, differs = a.AsSpan(part.Tokens.Start * dim, b.Length).CommonPrefixLength(b);
                    if (differs < b.Length) return $"layer {of}, head {head + firstHead}, {(KvPlane)plane}, token {part.Tokens.Start + differs / dim} differs";
                }
            }
        }

        return null;
    }

    /// <summary>A part of a whole sequence in a cache of its own; of plain rows only.</summary>
    internal static KvSequence Cut(KvSequence whole, PagedKvCache cache, KvShard part)
    {
        KvCacheLayout layout = whole.Cache.Layout;
        KvSequence cut = cache.CreateSequence();
        if (!cut.TryReserve(part.Tokens.Count)) throw new InvalidOperationException($"The lab's cache has no room for {part.Tokens.Count} tokens.");
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            int of = layer + part.Layers.Start, firstHead = part.HeadsOf(layout, layout.GroupOf(of)).Start;
            KvLayerView from = whole.View(of), to = cut.View(layer, part.Tokens.Count);
            for (int head = 0; head < to.Geometry.KvHeads; head++)
            {
                for (int plane = 0; plane < to.Geometry.Planes; plane++)
                {
                    for (int token = 0; token < part.Tokens.Count; token++)
                        from.Row(head + firstHead, (KvPlane)plane, token + part.Tokens.Start).CopyTo(to.Row(head, (KvPlane)plane, token));
                }
            }
        }

        cut.Advance(part.Tokens.Count);
        return cut;
    }

    private static float[] Numbers(in KvLayerView view, int head, KvPlane plane)
    {
        var numbers = new float[view.Tokens * view.Group.HeadDim];
        StoredRows.Unpack(view, head, plane, 0, new RowRuns(MemoryMarshal.AsBytes(numbers.AsSpan()), view.Group.HeadDim * sizeof(float)), ElementType.Float32);
        return numbers;
    }
}
