using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>A table as the terminal and the page both show it.</summary>
/// <param name="Id">Anchor in the page.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Note">How to read it.</param>
internal sealed record ReportTable(string Id, string Title, string Note, IReadOnlyList<ReportColumn> Columns, IReadOnlyList<IReadOnlyList<string>> Rows);

internal sealed record ReportColumn(string Name, bool IsNumber = true);

/// <summary>The tables of a summary.</summary>
internal static class ReportTables
{
    internal static IEnumerable<ReportTable> All(Summary summary)
    {
        yield return Limits(summary.Limits);
        if (summary.Figures.Count > 0) yield return LatencyTables.Figures(summary.Figures);
        if (summary.Reference is { } reference)
        {
            yield return Prompts(reference);
            if (reference.Quality is { } quality) yield return Quality(quality);
        }

        if (summary.Transfers.Count > 0) yield return Transfers(summary.Transfers);
        if (summary.Latencies.Count > 0) yield return LatencyTables.Latencies(summary.Latencies);
        if (summary.Prefilled.Count > 0) yield return PrefilledTable.Of(summary.Prefilled);
        if (summary.Sweep.Count > 0)
        {
            yield return LatencyTables.Sweep(summary.Sweep);
            yield return LatencyTables.Fits(summary.Fits);
        }

        if (PhaseSources(summary).Any()) yield return Phases(summary);
        if (summary.Stages.Count > 0) yield return Stages(summary.Stages);
        if (summary.Projection.Count > 0) yield return Projection(summary.Projection);
    }

    /// <summary>Everything that has phases: transfers and prompts.</summary>
    internal static IEnumerable<(string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)> PhaseSources(Summary summary) =>
        summary.Transfers.Select(t => ($"{t.Model}, {t.Transport}, {t.Codec}", t.Seconds, t.Phases))
            .Concat((summary.Reference?.Prompts ?? []).Select(p => (p.Name, p.Handoff.Seconds, p.Handoff.Phases)));

    private static ReportTable Limits(LimitsSection limits) => new("limits", "Limits of this machine",
        $"Medians over buffers of {limits.BufferBytes >> 20} MiB, one thread, 1 GB = 1e9 bytes. Sockets: bare sends and receives of 1 MiB between two processes.{string.Concat(limits.Absent.Select(a => $" Not measured: {a.Limit}, {a.Reason}."))}",
        [new("limit", false), new("GB/s"), new("lowest"), new("highest")],
        [.. limits.Named().Where(l => l.Gbps is not null).Select(l => Limit(l.Name, l.Gbps!.Value, l.Samples))]);

    private static string[] Limit(string name, double median, IReadOnlyList<double> samples) =>
        [name, F(median, "0.00"), F(samples.DefaultIfEmpty().Min(), "0.00"), F(samples.DefaultIfEmpty().Max(), "0.00")];

    private static ReportTable Prompts(ReferenceSection reference) => new("prompts", $"Prompts of {reference.Model}, codec {reference.Codec}",
        $"Prefill in one process, decode in another. The decode process prefilled {reference.DecodePrefilledTokens} tokens. TTFT: from the request until the decode process may emit the first token.",
        [new("prompt", false), new("in"), new("out"), new("tokens", false), new("TTFT ms"), new("prefill ms"), new("handoff adds ms"), new("first decode ms"), new("TPOT ms"), new("1-process TPOT ms"), new("MB")],
        [.. reference.Prompts.Select(p => new[]
        {
            p.Name, N(p.PromptTokens), N(p.CompletionTokens), p.TokensEqual ? "equal" : F(p.TokenAgreement * 100, "0.0") + " % equal", F(p.TtftMs, "0.0"), F(p.PrefillMs, "0.0"),
            F(p.Handoff.ExposedSeconds * 1e3, "0.00"), F(p.FirstDecodeMs, "0.00"), F(p.TpotMs, "0.00"), F(p.SingleTpotMs, "0.00"), F(p.Handoff.Bytes / 1e6, "0.00"),
        })]);

    private static ReportTable Quality(QualityRow quality) => new("quality", $"What codec {quality.Codec} changes on held-out text",
        $"{N(quality.PrefixTokens)} tokens handed over, the next {N(quality.ContinuationTokens)} read against the landed cache and against the original.",
        [new("codec", false), new("top-1 agreement %"), new("perplexity before"), new("after"), new("change %")],
        [[quality.Codec, F(quality.Top1Agreement * 100, "0.00"), F(quality.PerplexitySingle, "0.0000"), F(quality.PerplexityHandedOver, "0.0000"), F(quality.PerplexityChangePercent, "+0.000;-0.000;0.000")]]);

    private static ReportTable Transfers(IReadOnlyList<TransferRow> transfers) => new("transfers", "Transfers between two processes",
        "Medians. GB/s counts cache bytes. Of bare: against the barest loop over the same transport, measured in turns; memcpy for shared memory. Copies: bytes copied in user code per byte. Every byte was compared with what the seed gives, and the unused end of the last block with its poison.",
        [new("model", false), new("over", false), new("codec", false), new("tokens"), new("streams"), new("cache bytes"), new("wire bytes"), new("s"), new("GB/s"), new("of bare"), new("of TCP"), new("of memcpy"), new("copies"), new("CPU s/GB"), new("equal", false)],
        [.. transfers.Select(t => new[]
        {
            t.Model, t.Transport, t.Codec, N(t.Tokens), N(t.Streams), N(t.KvBytes), N(t.WireBytes), F(t.Seconds, "0.000"), F(t.Gbps, "0.00"), t.OfBare is { } ofBare ? F(ofBare, "0.00") : "", F(t.OfTcpLoopback, "0.00"),
            F(t.OfMemcpy, "0.00"), F(t.BytesCopiedPerByte, "0.00"), F(t.CpuSecondsPerGb, "0.00"), t.Verified ? "yes" : "NO",
        })]);

    private static ReportTable Phases(Summary summary)
    {
        (string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)[] sources = [.. PhaseSources(summary)];
        string[] names = [.. sources[0].Phases.Keys];
        return new ReportTable("phases", "Phases, milliseconds",
            "Of both processes, summed over their threads. Phases overlap, so that they need not add up to the elapsed time; queue is the longest wait of any frame. The elapsed time of a prompt includes its prefill.",
            [new("handoff", false), new("elapsed"), .. names.Select(n => new ReportColumn(n.Replace('_', ' ')))],
            [.. sources.Select(s => (string[])[s.Name, F(s.Seconds * 1e3, "0.00"), .. names.Select(n => F(s.Phases.GetValueOrDefault(n) * 1e3, "0.00"))])]);
    }

    private static ReportTable Stages(IReadOnlyList<StageRow> stages) => new("stages", "Stages, each alone on one thread",
        "BenchmarkDotNet, in process, over a synthesised 262 MB cache; the limit was measured in the same run.",
        [new("stage", false), new("GB/s"), new("limit", false), new("limit GB/s"), new("ratio"), new("us per frame"), new("allocated bytes")],
        [.. stages.Select(s => new[] { s.Name, F(s.Gbps, "0.00"), s.Limit, F(s.LimitGbps, "0.00"), F(s.Ratio, "0.00"), F(s.NanosecondsPerFrame / 1e3, "0.00"), N(s.AllocatedBytes) })]);

    private static ReportTable Projection(IReadOnlyList<ProjectionRow> projection)
    {
        int[] rates = [.. projection.Select(p => p.Gbit).Distinct().Order()];
        List<string> sources = [.. projection.Select(p => p.PrefillSource).Distinct()];
        var rows = new List<IReadOnlyList<string>>();
        foreach (var cache in projection.GroupBy(p => (p.Model, p.Codec, p.Tokens, p.PrefillMs, p.PrefillSource)))
        {
            ProjectionRow[] links = [.. cache.OrderBy(p => p.Gbit)];
            string prefill = $"{F(cache.Key.PrefillMs, "0.0")} [{sources.IndexOf(cache.Key.PrefillSource) + 1}]";
            rows.Add([$"{cache.Key.Model}, {cache.Key.Codec}, {N(cache.Key.Tokens)} tokens", prefill, "wire ms", .. links.Select(p => Short(p.WireMs))]);
            rows.Add(["", "", "exposed ms", .. links.Select(p => Short(p.ExposedMs))]);
            rows.Add(["", "", "hidden %", .. links.Select(p => F(p.HiddenShare * 100, "0.0"))]);
        }

        return new ReportTable("projection", "Projection to other links, Gb/s",
            $"Line rate, layer by layer: exposed = max(wire / L, wire - prefill (L - 1) / L). Prefill: {string.Join("; ", sources.Select((s, i) => $"[{i + 1}] {s}"))}.",
            [new("cache", false), new("prefill ms"), new("", false), .. rates.Select(r => new ReportColumn(N(r)))], rows);
    }

    // Three significant figures or so: the column spans four orders of magnitude.
    private static string Short(double milliseconds) => F(milliseconds, milliseconds >= 100 ? "0" : milliseconds >= 10 ? "0.0" : milliseconds >= 1 ? "0.00" : "0.000");

    private static string F(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string N(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);
}
