using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// What the same bytes would take on a faster or slower link, and how much of it prefill hides when every layer is sent as soon as it is
/// computed. With L layers, wire time W and prefill time P: the last layer cannot start before prefill ends, so at least W / L is exposed;
/// the link cannot start before the first layer is done, so at least W - P (L - 1) / L is. Exposed is the larger of the two.
/// </summary>
internal static class Projection
{
    /// <summary>Link rates in Gb/s.</summary>
    internal static IReadOnlyList<int> Rates { get; } = [10, 25, 100, 400, 800, 1200, 3200];

    internal static double WireMilliseconds(long wireBytes, int gbit) => wireBytes * 8.0 / (gbit * 1e9) * 1e3;

    internal static double ExposedMilliseconds(double wire, double prefill, int layers) =>
        Math.Max(wire / layers, wire - prefill * (layers - 1) / layers);

    /// <summary>Rows for one cache on every link.</summary>
    internal static IEnumerable<ProjectionRow> Rows(string model, int layers, int tokens, string codec, long wireBytes, bool measured, double prefillMilliseconds, string prefillSource) =>
        Rates.Select(gbit =>
        {
            double wire = WireMilliseconds(wireBytes, gbit), exposed = ExposedMilliseconds(wire, prefillMilliseconds, layers);
            return new ProjectionRow
            {
                Model = model,
                Gbit = gbit,
                Codec = codec,
                Tokens = tokens,
                WireBytes = wireBytes,
                WireBytesSource = measured ? "measured" : "computed",
                WireMs = wire,
                PrefillMs = prefillMilliseconds,
                PrefillSource = prefillSource,
                ExposedMs = exposed,
                HiddenShare = 1 - exposed / wire,
            };
        });

    /// <summary>Frame bytes of a cache: header, segment table and encoded rows of every layer and granule; of a codec that always writes as much.</summary>
    internal static long WireBytes(KvCacheLayout layout, int tokens, IKvCodec codec)
    {
        long bytes = 0;
        foreach (LayerGroup group in layout.Groups)
        {
            for (int granule = 0; granule < KvSegment.GranuleCount(tokens); granule++)
            {
                long frame = FrameHeader.Bytes;
                for (int plane = 0; plane < group.Planes; plane++)
                {
                    var shape = new SegmentShape(KvSegment.TokensIn(granule, tokens), group.HeadDim, group.ElementType, (KvPlane)plane);
                    frame += (long)group.KvHeads * (SegmentEntry.Bytes + codec.MaxEncodedBytes(shape));
                }

                bytes += group.Layers.Length * frame;
            }
        }

        return bytes;
    }

    /// <summary>All rows of a job: Llama-3.3-70B at 3,100 tokens with every codec, and the reference model's longest prompt as measured.</summary>
    internal static IReadOnlyList<ProjectionRow> For(IReadOnlyList<TransferRow> transfers, ReferenceSection? reference, int referenceLayers)
    {
        var rows = new List<ProjectionRow>();
        KvCacheLayout layout = ShapedModel.Find(ShapedModel.Default).Layout;
        foreach (IKvCodec codec in KvCodecs.All)
        {
            TransferRow? measured = transfers.FirstOrDefault(t => t.Model == ShapedModel.Default && t.Tokens == HandoffSettings.DefaultTokens && t.Codec == codec.Name);
            // What a lossless codec makes of rows depends on the rows.
            if (measured is null && codec is not (RawCodec or PackedCodec)) continue;
            long wireBytes = measured?.WireBytes ?? WireBytes(layout, HandoffSettings.DefaultTokens, codec);
            foreach (PrefillCost prefill in PrefillCost.Published)
                rows.AddRange(Rows(ShapedModel.Default, layout.LayerCount, HandoffSettings.DefaultTokens, codec.Name, wireBytes, measured is not null, prefill.Milliseconds(HandoffSettings.DefaultTokens), prefill.Source));
        }

        if (reference?.Prompts.MaxBy(p => p.PromptTokens) is { } prompt)
            rows.AddRange(Rows(reference.Model, referenceLayers, prompt.PromptTokens, reference.Codec, prompt.Handoff.WireBytes, true, prompt.SinglePrefillMs, $"measured: prompt {prompt.Name} on this machine, single process"));
        return rows;
    }
}
