using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

/// <summary>What a committed sequence has to be: each segment encoded and decoded once, without a wire in between.</summary>
internal static class RowOracle
{
    /// <summary>A sequence of seeded rows.</summary>
    internal static KvSequence Fill(PagedKvCache cache, int tokens, int seed)
    {
        var random = new Random(seed);
        KvSequence sequence = cache.CreateSequence();
        if (!sequence.TryReserve(tokens)) throw new InvalidOperationException($"The lab's cache has no room for {tokens} tokens.");
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            LayerGroup group = cache.Layout.Group(layer);
            float[] keys = new float[tokens * group.KvHeads * group.HeadDim], values = new float[keys.Length];
            foreach (ref float x in keys.AsSpan()) x = random.NextSingle() * 8 - 4;
            foreach (ref float x in values.AsSpan()) x = random.NextSingle() * 2 - 1;
            sequence.WriteRows(layer, 0, keys, values);
        }

        sequence.Advance(tokens);
        return sequence;
    }

    internal static HandoffManifest Manifest(int tokens, int seed) =>
        new([.. Enumerable.Range(seed & 0xFFFF, tokens)], tokens, FirstToken: seed & 0xFF, SamplerState: BitConverter.GetBytes(seed), HostMetadata: new byte[] { 7 });

    /// <summary>Where a landed sequence differs from what the source makes it, or null.</summary>
    internal static string? Difference(TransferPlan plan, CodecId codecId, KvSequence source, KvSequence landed)
    {
        if (landed.Tokens != source.Tokens) return $"{landed.Tokens} tokens landed of {source.Tokens}";
        KvCodecs.TryGet(codecId, out IKvCodec? codec);
        using PagedKvCache cache = PagedKvCache.Allocate(plan.Target, source.Tokens);
        using KvSequence expected = cache.CreateSequence();
        expected.TryReserve(source.Tokens);
        byte[] encoded = [];
        for (int layer = 0; layer < plan.Target.LayerCount; layer++)
        {
            GroupTransfer transfer = plan.Groups[0];
            KvLayerView from = source.View(layer), to = expected.View(layer, source.Tokens), actual = landed.View(layer);
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

                    for (int token = 0; token < source.Tokens; token++)
                    {
                        if (!to.Row(head, plane, token).SequenceEqual(actual.Row(head, plane, token))) return $"layer {layer}, head {head}, {plane}, token {token} differs";
                    }
                }
            }
        }

        return null;
    }
}
