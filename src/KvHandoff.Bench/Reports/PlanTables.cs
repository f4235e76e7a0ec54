using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Reports;

/// <summary>The tables of a plan, one per question.</summary>
internal static class PlanTables
{
    internal static IEnumerable<ReportTable> All(PlanSummary s)
    {
        yield return Answer(s);
        yield return Sizes(s);
        yield return Links(s);
        yield return Units(s);
        yield return Codecs(s);
        yield return Capacity(s);
        yield return Saturation(s);
        yield return Comparison(s);
        if (s.Calibration is not { } calibration) yield break;
        yield return Fits(calibration);
        yield return Measured(calibration);
    }

    internal static ReportTable Answer(PlanSummary s) => new("answer", $"{s.Inputs.Model}: {N(s.Inputs.Tokens)} tokens from {s.Inputs.Prefill} to {s.Inputs.Decode} over {s.Answer.Link}",
        "Exposed is what the reader of the answer waits for after prefill has ended.",
        [new("K and V", false), new("on the wire"), new("raw wire time"), new("path busy"), new("prefill"), new("sent afterwards"), new("exposed"), new("hidden"), new("hides from")],
        [[$"{N(s.Answer.KvBytes)} bytes {s.Inputs.Element.ToUpperInvariant()}", PlanQuantity.Bytes(s.Answer.WireBytes), T(s.Answer.RawWireSeconds), T(s.Answer.WireSeconds), T(s.Answer.PrefillSeconds), T(s.Answer.StoreAndForwardSeconds), T(s.Answer.ExposedSeconds), PlanQuantity.Share(s.Answer.HiddenShare), R(s.Answer.HidingBitsPerSecond)]]);

    internal static ReportTable Sizes(PlanSummary s) => new("sizes", "How many bytes, and how long?",
        $"{N(s.Inputs.KvBytesPerToken)} bytes per token. Raw wire: all bytes over {s.Answer.Link}, nothing else. Exposed: {s.Inputs.Units} units, each sent when it is ready. The model's longest context is {N(s.Inputs.MaxContextTokens)} tokens; longer rows are what-if.",
        [new("tokens"), new("K and V"), new("in FP8"), new("prefill"), new("raw wire"), new("exposed"), new("hidden"), new($"contexts in {s.Inputs.Decode}")],
        [.. s.Sizes.Select(r => new[] { N(r.Tokens), PlanQuantity.Bytes(r.KvBytes), PlanQuantity.Bytes(r.Fp8Bytes), T(r.PrefillSeconds), T(r.RawWireSeconds), T(r.ExposedSeconds), PlanQuantity.Share(r.HiddenShare), N(Math.Floor(r.ContextsInDecode)) })]);

    internal static ReportTable Links(PlanSummary s) => new("links", "How much hides behind prefill?",
        $"{N(s.Inputs.Tokens)} tokens, codec {s.Inputs.Codec}, prefill {T(s.Answer.PrefillSeconds)}. With m units, one ready every T/m: exposed is the last unit, or what the slower link has left. All but the last unit hides from {R(s.Answer.HidingBitsPerSecond)} on.",
        [new("link", false), new("raw wire"), new("path busy"), new("slowest part", false), new("sent afterwards"), new($"exposed, {s.Inputs.Units} units"), new("hidden"), new("best units"), new("exposed then")],
        [.. s.Links.Select(r => new[] { r.Link, T(r.RawWireSeconds), T(r.WireSeconds), r.Bottleneck, T(r.StoreAndForwardSeconds), T(r.ExposedSeconds), PlanQuantity.Share(r.HiddenShare), N(r.BestUnits), T(r.BestExposedSeconds) })]);

    internal static ReportTable Units(PlanSummary s) => new("units", "How many units?",
        "More units hide more, each costs a message" + (s.Inputs.StallSeconds > 0 ? $" and {T(s.Inputs.StallSeconds)} of prefill." : "."),
        [new("units"), new("bytes each"), new("exposed"), new("path busy"), new("", false)],
        [.. s.Units.Select(r => new[] { N(r.Units), PlanQuantity.Bytes(r.UnitBytes), T(r.ExposedSeconds), T(r.WireSeconds), r.IsBest ? "best" : "" })]);

    internal static ReportTable Codecs(PlanSummary s) => new("codecs", "Which codec at which link?",
        $"Rates of {s.Inputs.CodecCores} core{(s.Inputs.CodecCores == 1 ? "" : "s")} a side. Encoding, sending and decoding overlap; the break-even in steps is for senders that do not. Gain: exposed time of raw over the codec's, on {s.Answer.Link}.",
        [new("codec", false), new("", false), new("ratio"), new("encode"), new("decode"), new("full gain below"), new("pays below"), new("in steps below"), new("exposed"), new("gain"), new("pays", false)],
        [.. s.Codecs.Select(r => new[]
        {
            r.Codec, r.Lossless ? "lossless" : "lossy", PlanQuantity.Number(r.Ratio), Rate(r.EncodeBytesPerSecond), Rate(r.DecodeBytesPerSecond), Limit(r.FullGainBitsPerSecond, r.Ratio), Limit(r.OverlappedBreakEvenBitsPerSecond, r.Ratio),
            Limit(r.SerialBreakEvenBitsPerSecond, r.Ratio), T(r.ExposedSeconds), PlanQuantity.Number(r.Gain) + "x", r.Ratio <= 1 ? "" : r.Pays ? "yes" : "no",
        })]);

    internal static ReportTable Capacity(PlanSummary s) => new("capacity", "What fits in decode memory?",
        $"Contexts of {N(s.Inputs.Tokens)} + {N(s.Inputs.OutputTokens)} tokens in {s.Inputs.Element.ToUpperInvariant()} beside the weights. Tokens per second: of the largest batch that fits.",
        [new("node", false), new("memory"), new("weights"), new("free"), new("contexts"), new("longest context"), new("per token, alone"), new("tokens per second")],
        [.. s.Capacity.Select(r => r.WeightsFit
            ? new[] { r.Node, PlanQuantity.Bytes(r.MemoryBytes), PlanQuantity.Bytes(r.WeightBytes), PlanQuantity.Bytes(r.FreeBytes), N(Math.Floor(r.Contexts)), $"{N(r.LongestTokens)} tokens", T(r.TokenSeconds), N(r.TokensPerSecond) }
            : [r.Node, PlanQuantity.Bytes(r.MemoryBytes), PlanQuantity.Bytes(r.WeightBytes), "weights do not fit", "0", "", "", ""])]);

    internal static ReportTable Saturation(PlanSummary s) => new("saturation", "How many prefill nodes, until what saturates?",
        $"Requests per second that one {s.Inputs.Prefill}, the link {s.Answer.Link}, and memory and compute of {s.Inputs.Decode} bear. P : D is the number of prefill nodes that saturates one decode node; another one is idle.",
        [new("workload", false), new("prompt"), new("output"), new("one prefill node"), new("link"), new("memory"), new("decode"), new("P : D"), new("limit", false)],
        [.. s.Saturation.Select(r => new[] { r.Workload, N(r.PromptTokens), N(r.OutputTokens), PlanQuantity.Number(r.PrefillNodeRate), PlanQuantity.Number(r.LinkRate), PlanQuantity.Number(r.MemoryRate), PlanQuantity.Number(r.DecodeRate), $"{PlanQuantity.Number(r.PrefillNodes)} : 1", r.Limit })]);

    internal static ReportTable Comparison(PlanSummary s) => new("comparison", "Does it beat a colocated server?",
        $"One request of {N(s.Inputs.Tokens)} + {N(s.Inputs.OutputTokens)} tokens, alone. Ahead from: output tokens from which the disaggregated one ends first. Requests per second: one of each node in full batches. {string.Join(" ", s.Comparison.Where(r => r.Note is not null).Select(r => r.Note))}",
        [new("deployment", false), new("prefill"), new("exposed"), new("first token"), new("per token"), new("whole answer"), new("of disaggregated"), new("ahead from"), new("requests /s")],
        [.. s.Comparison.Select(r => new[] { r.Deployment, T(r.PrefillSeconds), r.ExposedSeconds > 0 ? T(r.ExposedSeconds) : "", T(r.FirstTokenSeconds), T(r.TokenSeconds), T(r.Seconds), PlanQuantity.Number(r.OfDisaggregated) + "x", Ahead(r, s.Comparison[0]), PlanQuantity.Number(r.RequestsPerSecond) })]);

    internal static ReportTable Fits(CalibrationSection c) => new("calibration", "Model against measured",
        "Every other size is fitted, the sizes between are predicted. Errors are shares of the measured time. In the picture: lines the model, discs what it was fitted to, rings what it predicts.",
        [new("over", false), new("latency"), new("bandwidth"), new("from"), new("on"), new("handoffs per second"), new("fitted, mean"), new("held out, median"), new("held out, worst")],
        [.. c.Fits.Select(f => new[] { f.Transport, T(f.LatencySeconds), PlanQuantity.Bytes(f.BytesPerSecond) + "/s", f.KneeBytes is { } knee ? PlanQuantity.Bytes(knee) : "", f.BytesPerSecondBeyond is { } beyond ? PlanQuantity.Bytes(beyond) + "/s" : "", PlanQuantity.Number(f.MessagesPerSecond), PlanQuantity.Share(f.FittedError), PlanQuantity.Share(f.HeldOutMedianError), PlanQuantity.Share(f.HeldOutWorstError) })]);

    internal static ReportTable Measured(CalibrationSection c) => new("measured", "Sizes, predicted and measured", $"From {c.File}. Medians, from the offer to the receiver's verdict.",
        [new("over", false), new("bytes"), new("", false), new("measured"), new("predicted"), new("error")],
        [.. c.Rows.Select(r => new[] { r.Transport, N(r.Bytes), r.HeldOut ? "held out" : "fitted", T(r.MeasuredSeconds), T(r.PredictedSeconds), (r.Error >= 0 ? "+" : "-") + PlanQuantity.Share(Math.Abs(r.Error)) })]);

    internal static ReportTable Sources(PlanSummary s) => new("sources", "Figures and where they are from", "Assumptions are named as such: replace them with --catalogue.",
        [new("figure", false), new("value", false), new("source", false)], [.. s.Sources.Select(r => new[] { r.Figure, r.Value, r.Source })]);

    private static string Ahead(PlanComparisonRow row, PlanComparisonRow disaggregated)
    {
        if (row == disaggregated) return "";
        if (row.BreakEvenTokens is { } tokens) return tokens == 0 ? "always" : N(Math.Ceiling(tokens)) + " tokens";
        return row.FirstTokenSeconds > disaggregated.FirstTokenSeconds ? "short answers only" : "never";
    }

    private static string T(double seconds) => PlanQuantity.Seconds(seconds);

    private static string N(double value) => PlanQuantity.Whole(value);

    private static string R(double bitsPerSecond) => PlanQuantity.BitRate(bitsPerSecond / 8);

    private static string Rate(double? bytesPerSecond) => bytesPerSecond is { } rate ? PlanQuantity.Bytes(rate) + "/s" : "";

    private static string Limit(double? bitsPerSecond, double ratio) => ratio <= 1 ? "" : bitsPerSecond is { } rate ? R(rate) : "always";
}
