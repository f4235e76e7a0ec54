using System.Globalization;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.CostModel;

/// <summary>Answers every question of <c>plan</c> for one deployment and one prompt; nothing is measured here.</summary>
/// <param name="Deployment">What was asked about.</param>
/// <param name="Colocated">The node that would do both.</param>
/// <param name="ColocatedPrecision">Of its weights and its prefill.</param>
/// <param name="Tokens">Prompt.</param>
/// <param name="OutputTokens">Answer.</param>
/// <param name="Catalogue">Links and codecs to compare.</param>
internal sealed record PlanRun(Deployment Deployment, Node Colocated, Precision ColocatedPrecision, int Tokens, int OutputTokens, HardwareCatalogue Catalogue)
{
    /// <summary>What the tables and pictures compare the asked link with.</summary>
    internal static IReadOnlyList<string> ComparedLinks { get; } = ["10G", "25G", "100G", "200G", "400G", "800G", "1.2T", "3.2T"];

    private static readonly int[] ComparedTokens = [50, 512, 1700, 3100, 8192, 32_768, 131_072, 2_097_152];

    // The shapes of the evaluation that the project began with, and what long contexts and long thoughts add.
    private static readonly (string Name, int Prompt, int Output)[] Workloads = [("short in, long out", 66, 1500), ("long in, short out", 3100, 110), ("long in, long out", 3100, 1700), ("document", 32_768, 1000), ("reasoning", 3100, 20_000), ("whole book", 131_072, 300)];

    /// <summary>All answers.</summary>
    /// <param name="calibration">The model beside a measured sweep, if there is one.</param>
    /// <param name="elapsedSeconds">What it took.</param>
    internal PlanSummary Summary(CalibrationSection? calibration, double elapsedSeconds)
    {
        Deployment d = Deployment;
        return new PlanSummary
        {
            Inputs = new PlanInputs
            {
                Model = d.Model.Name,
                Element = d.ElementBytes == KvSize.Fp8Bytes ? "fp8" : "bf16",
                Tokens = Tokens,
                OutputTokens = OutputTokens,
                Prefill = d.Prefill.Name,
                PrefillPrecision = Named(d.PrefillPrecision),
                Decode = d.Decode.Name,
                WeightPrecision = Named(d.WeightPrecision),
                Colocated = Colocated.Name,
                Link = d.Link.Name,
                Codec = d.Codec.Name,
                CodecCores = d.CodecCores,
                Units = d.UnitCount,
                MessageBytes = double.IsFinite(d.MessageBytes) ? d.MessageBytes : null,
                StallSeconds = d.StallSeconds,
                CachedShare = d.CachedShare,
                Layers = d.Model.LayerCount,
                MaxContextTokens = d.Model.MaxContextTokens,
                KvBytesPerToken = KvSize.BytesPerToken(d.Model, d.ElementBytes),
                BalanceTokens = PrefillTime.BalanceTokens(d.Model),
            },
            Answer = Row(d.Link),
            Sizes = Sizes(),
            Links = Links(),
            Units = Units(),
            Codecs = Codecs(),
            Capacity = Capacity(),
            Saturation = Saturation(),
            Comparison = Comparison(),
            Calibration = calibration,
            Sources = Sources(),
            ElapsedSeconds = elapsedSeconds,
        };
    }

    internal IReadOnlyList<PlanSizeRow> Sizes() => [.. ComparedTokens.Append(Tokens).Distinct().Order().Select(tokens =>
    {
        PipelinedTransfer transfer = Deployment.Transfer(tokens);
        return new PlanSizeRow
        {
            Tokens = tokens,
            KvBytes = Deployment.KvBytes(tokens),
            Fp8Bytes = KvSize.Bytes(Deployment.Model, tokens, KvSize.Fp8Bytes),
            PrefillSeconds = Deployment.PrefillSeconds(tokens),
            RawWireSeconds = RawWireSeconds(tokens, Deployment.Link),
            ExposedSeconds = transfer.ExposedSeconds,
            HiddenShare = transfer.HiddenShare,
            ContextsInDecode = DecodeCapacity.Of(Deployment.Model, Deployment.Decode, Deployment.WeightPrecision).Contexts(Deployment.Model, tokens, 0, Deployment.ElementBytes),
        };
    })];

    internal IReadOnlyList<PlanLinkRow> Links() => [.. ComparedLinks.Select(n => Catalogue.Links[n]).Append(Deployment.Link).DistinctBy(l => l.Name).OrderBy(l => l.BitsPerSecond.Value).ThenBy(l => l.Name, StringComparer.Ordinal).Select(Row)];

    internal PlanLinkRow Row(Link link)
    {
        PipelinedTransfer asked = Deployment.Transfer(Tokens, link, Deployment.UnitCount);
        double prefill = Deployment.PrefillSeconds(Tokens), wire = Deployment.WireBytes(Tokens);
        PipelinedTransfer best = PipelinedTransfer.Best(prefill, wire, Deployment.Model.LayerCount, Deployment.Path(link), Deployment.StallSeconds, Deployment.MessageBytes);
        return new PlanLinkRow
        {
            Link = link.Name,
            BitsPerSecond = link.BitsPerSecond,
            Tokens = Tokens,
            KvBytes = Deployment.KvBytes(Tokens),
            WireBytes = wire,
            RawWireSeconds = RawWireSeconds(Tokens, link),
            WireSeconds = asked.WireSeconds,
            Bottleneck = Bottleneck(link),
            PrefillSeconds = prefill,
            StoreAndForwardSeconds = Deployment.Path(link).StoreAndForwardSeconds(wire, 1, Deployment.MessageBytes),
            Units = asked.Units,
            ExposedSeconds = asked.ExposedSeconds,
            HiddenShare = asked.HiddenShare,
            BestUnits = best.Units,
            BestExposedSeconds = best.ExposedSeconds,
            HidingBitsPerSecond = PipelinedTransfer.HidingBytesPerSecond(prefill, wire) * 8,
        };
    }

    internal IReadOnlyList<PlanUnitsRow> Units()
    {
        int layers = Deployment.Model.LayerCount, best = PipelinedTransfer.Best(Deployment.PrefillSeconds(Tokens), Deployment.WireBytes(Tokens), 8 * layers, Deployment.Path(Deployment.Link), Deployment.StallSeconds, Deployment.MessageBytes).Units;
        IEnumerable<int> counts = Enumerable.Range(0, 20).Select(i => 1 << i).Where(u => u <= 8 * layers).Append(layers).Append(best).Distinct().Order();
        return [.. counts.Select(units =>
        {
            PipelinedTransfer transfer = Deployment.Transfer(Tokens, Deployment.Link, units);
            return new PlanUnitsRow
            {
                Units = units,
                UnitBytes = Deployment.WireBytes(Tokens) / units,
                ExposedSeconds = transfer.ExposedSeconds,
                WireSeconds = transfer.WireSeconds,
                IsBest = units == best,
            };
        })];
    }

    internal IReadOnlyList<PlanCodecRow> Codecs()
    {
        Deployment raw = Deployment with { Codec = Catalogue.Codecs["raw"] };
        double rawExposed = raw.Transfer(Tokens).ExposedSeconds;
        // Ratios are those of BF16 rows: of others only what was asked for is shown.
        return [.. Catalogue.Codecs.Values.Where(c => Deployment.ElementBytes == KvSize.Bf16Bytes || c.Name is "raw" || c.Name == Deployment.Codec.Name).Select(codec =>
        {
            Deployment coded = Deployment with { Codec = codec };
            CodecCost cost = CodecCost.Of(codec, Deployment.CodecCores);
            PipelinedTransfer transfer = coded.Transfer(Tokens);
            return new PlanCodecRow
            {
                Codec = codec.Name,
                Lossless = codec.IsLossless,
                Ratio = codec.Ratio,
                EncodeBytesPerSecond = Finite(cost.EncodeBytesPerSecond),
                DecodeBytesPerSecond = Finite(cost.DecodeBytesPerSecond),
                RatesFrom = codec.EncodeBytesPerSecond.Source,
                SerialBreakEvenBitsPerSecond = Finite(cost.SerialBreakEven * 8),
                OverlappedBreakEvenBitsPerSecond = Finite(cost.OverlappedBreakEven * 8),
                FullGainBitsPerSecond = Finite(cost.FullGainBelow * 8),
                WireSeconds = transfer.WireSeconds,
                ExposedSeconds = transfer.ExposedSeconds,
                Gain = rawExposed / transfer.ExposedSeconds,
                Pays = transfer.ExposedSeconds < rawExposed * 0.9999,
            };
        })];
    }

    internal IReadOnlyList<PlanCapacityRow> Capacity() => [.. Catalogue.Nodes.Values.Where(n => n.Accelerator.Name == Deployment.Decode.Accelerator.Name).Append(Colocated).Append(Deployment.Decode).DistinctBy(n => n.Name).Select(node =>
    {
        Precision precision = node.Name == Colocated.Name && node.Name != Deployment.Decode.Name ? ColocatedPrecision : Deployment.WeightPrecision;
        DecodeCapacity capacity = DecodeCapacity.Of(Deployment.Model, node, precision);
        Deployment there = Deployment with { Decode = node, WeightPrecision = precision };
        return new PlanCapacityRow
        {
            Node = $"{node.Name}, {Named(precision)} weights",
            MemoryBytes = node.MemoryBytes,
            WeightBytes = capacity.WeightBytes,
            WeightsFit = capacity.WeightsFit,
            FreeBytes = capacity.FreeBytes,
            Contexts = capacity.Contexts(Deployment.Model, Tokens, OutputTokens, Deployment.ElementBytes),
            LongestTokens = Math.Floor(KvSize.TokensIn(Deployment.Model, capacity.FreeBytes, Deployment.ElementBytes)),
            TokenSeconds = there.TokenSeconds(Tokens, OutputTokens),
            TokensPerSecond = there.Saturation(Tokens, OutputTokens, Deployment.Link) is var s ? Math.Min(s.Memory, s.Decode) * OutputTokens : 0,
        };
    })];

    internal IReadOnlyList<PlanSaturationRow> Saturation() => [.. Workloads.Prepend(("as asked", Tokens, OutputTokens)).Select(w =>
    {
        (string name, int prompt, int output) = w;
        Saturation s = Deployment.Saturation(prompt, output, Deployment.Link);
        return new PlanSaturationRow
        {
            Workload = name,
            PromptTokens = prompt,
            OutputTokens = output,
            PrefillNodeRate = s.PrefillNode,
            LinkRate = s.Link,
            MemoryRate = s.Memory,
            DecodeRate = s.Decode,
            PrefillNodes = s.PrefillNodes,
            Limit = s.Ceiling == 0 ? "memory: not one context fits" : Named(s.CeilingResource),
        };
    })];

    internal IReadOnlyList<PlanComparisonRow> Comparison()
    {
        Deployment d = Deployment;
        var apart = new ServedRequest(d.PrefillSeconds(Tokens), d.Transfer(Tokens).ExposedSeconds, d.TokenSeconds(Tokens, OutputTokens));
        PlanComparisonRow Row(string name, ServedRequest r, double requestsPerSecond, bool isItself, string? note)
        {
            double tokens = ColocatedComparison.BreakEvenTokens(apart, r);
            return new PlanComparisonRow
            {
                Deployment = name,
                PrefillSeconds = r.PrefillSeconds,
                ExposedSeconds = r.ExposedSeconds,
                FirstTokenSeconds = r.FirstTokenSeconds,
                TokenSeconds = r.TokenSeconds,
                Seconds = r.Seconds(OutputTokens),
                RequestsPerSecond = requestsPerSecond,
                OfDisaggregated = r.Seconds(OutputTokens) / apart.Seconds(OutputTokens),
                BreakEvenTokens = isItself || !double.IsFinite(tokens) ? null : tokens,
                Note = note,
            };
        }

        ServedRequest Alone(Node node, Precision precision) => new(PrefillTime.Seconds(d.Model, node, precision, Tokens, Tokens * d.CachedShare), 0, (d with { Decode = node, WeightPrecision = precision }).TokenSeconds(Tokens, OutputTokens));
        double Both(Node node, Precision precision, ServedRequest alone) => (d with { Decode = node, WeightPrecision = precision }).Saturation(Tokens, OutputTokens, d.Link) is var s ? ColocatedComparison.ColocatedThroughput(alone.PrefillSeconds, Math.Min(s.Memory, s.Decode)) : 0;
        ServedRequest colocatedAlone = Alone(Colocated, ColocatedPrecision);
        ServedRequest decodeAlone = Alone(d.Decode, d.WeightPrecision);
        double gain = ColocatedComparison.CapacityGain(decodeAlone.PrefillSeconds, apart.TokenSeconds * OutputTokens);
        return
        [
            Row($"{d.Prefill.Name} + {d.Decode.Name}", apart, d.Saturation(Tokens, OutputTokens, d.Link).Throughput(1), true, string.Create(CultureInfo.InvariantCulture, $"The exposed handoff is {ColocatedComparison.HandoffTokens(apart.ExposedSeconds, apart.TokenSeconds):0.0} tokens of the decoder's time.")),
            Row($"{Colocated.Name} alone", colocatedAlone, Both(Colocated, ColocatedPrecision, colocatedAlone), false, null),
            Row($"{d.Decode.Name} alone", decodeAlone, Both(d.Decode, d.WeightPrecision, decodeAlone), false, string.Create(CultureInfo.InvariantCulture, $"Prefilling elsewhere lets {d.Decode.Name} decode {gain:0.00}x as many requests.")),
        ];
    }

    internal IReadOnlyList<PlanSourceRow> Sources()
    {
        var rows = new List<PlanSourceRow>();
        void Add(string name, string value, string source) => rows.Add(new PlanSourceRow { Figure = name, Value = value, Source = source });
        ModelGeometry m = Deployment.Model;
        foreach (LayerGeometry l in m.Layers) Add($"{m.Name}: {l.Count} {Named(l.Kind)} layers", string.Create(CultureInfo.InvariantCulture, $"{l.QueryHeads} query heads, {l.KvHeads} kv, row {l.HeadDim}{(l.WindowTokens < int.MaxValue ? $", window {l.WindowTokens}" : "")}"), l.Source);
        Add($"{m.Name}: parameters", PlanQuantity.Number(m.Parameters / 1e9) + "e9", m.Parameters.Source);
        Add($"{m.Name}: multiplied per token", PlanQuantity.Number(m.LinearParameters / 1e9) + "e9", m.LinearParameters.Source);
        Add($"{m.Name}: longest context", PlanQuantity.Whole(m.MaxContextTokens) + " tokens", m.MaxContextTokens.Source);
        foreach (Node n in new[] { Deployment.Prefill, Deployment.Decode, Colocated }.DistinctBy(n => n.Name))
        {
            Accelerator a = n.Accelerator;
            Add($"{n.Name}: {n.Count} x {a.Name}, FP8 each", PlanQuantity.Flops(a.Fp8Flops), a.Fp8Flops.Source);
            Add($"{n.Name}: BF16 each", PlanQuantity.Flops(a.Bf16Flops), a.Bf16Flops.Source);
            Add($"{n.Name}: memory each", $"{PlanQuantity.Bytes(a.MemoryBytes)}, {PlanQuantity.Bytes(a.MemoryBytesPerSecond)}/s", a.MemoryBytes.Source);
            Add($"{n.Name}: usable of it", PlanQuantity.Share(n.UsableMemoryShare), n.UsableMemoryShare.Source);
            Add($"{n.Name}: network", PlanQuantity.BitRate(n.NetworkBitsPerSecond / 8), n.NetworkBitsPerSecond.Source);
            if (n.UtilisationByTokens is { } curve) Add($"{n.Name}: share of peak in prefill", $"{PlanQuantity.Share(curve.At(Tokens))} at {Tokens} tokens", curve.Source);
            else Add($"{n.Name}: share of peak in prefill", PlanQuantity.Share(n.Utilisation), n.Utilisation.Source);
            Add($"{n.Name}: shortest prefill", PlanQuantity.Seconds(n.PrefillFloorSeconds), n.PrefillFloorSeconds.Source);
            Add($"{n.Name}: decode, per layer", PlanQuantity.Seconds(n.DecodeLayerSeconds), n.DecodeLayerSeconds.Source);
        }

        Link link = Deployment.Link;
        Add($"{link.Name}: line rate", PlanQuantity.BitRate(link.BitsPerSecond / 8), link.BitsPerSecond.Source);
        Add($"{link.Name}: share of it reached", PlanQuantity.Share(link.Efficiency), link.Efficiency.Source);
        Add($"{link.Name}: per message", PlanQuantity.Seconds(link.MessageSeconds), link.MessageSeconds.Source);
        Add($"{link.Name}: messages per second", PlanQuantity.Number(link.MessagesPerSecond), link.MessagesPerSecond.Source);
        foreach (CodecFigures c in Catalogue.Codecs.Values) Add($"{c.Name}: ratio", PlanQuantity.Number(c.Ratio) + "x", c.Ratio.Source);
        return rows;
    }

    internal static string Named(Precision precision) => precision switch { Precision.Fp8 => "fp8", Precision.Int4 => "int4", _ => "bf16" };

    internal static string Named(LimitingResource resource) => resource switch { LimitingResource.Link => "link", LimitingResource.Memory => "memory", LimitingResource.Decode => "decode", _ => "prefill" };

    private static string Named(AttentionKind kind) => kind switch { AttentionKind.Sliding => "sliding-window", AttentionKind.Latent => "latent (MLA)", _ => "full-attention" };

    private double RawWireSeconds(double tokens, Link link) => Deployment.KvBytes(tokens) / (link.BitsPerSecond / 8);

    private string Bottleneck(Link link)
    {
        CodecCost codec = CodecCost.Of(Deployment.Codec, Deployment.CodecCores);
        double messages = link.MessagesPerSecond * Deployment.MessageBytes;
        return new[] { (link.BytesPerSecond, "line"), (messages, "message rate"), (Deployment.Prefill.NetworkBitsPerSecond / 8, "prefill network"), (Deployment.Decode.NetworkBitsPerSecond / 8, "decode network"), (codec.EncodeBytesPerSecond / codec.Ratio, "encode"), (codec.DecodeBytesPerSecond / codec.Ratio, "decode") }.MinBy(b => b.Item1).Item2;
    }

    private static double? Finite(double value) => double.IsFinite(value) ? value : null;
}
