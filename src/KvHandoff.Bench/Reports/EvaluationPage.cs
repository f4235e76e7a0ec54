using System.Text;
using System.Text.Json;
using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>The page of an evaluation, from the verdict down to where its figures come from.</summary>
internal static class EvaluationPage
{
    // A page with more in it takes too long to open; the file lies beside it.
    private const int MostEmbeddedBytes = 4 << 20;

    // So many timelines; the rest of the loads are in the tables.
    private const int MostTimelines = 8;

    /// <param name="s">What was measured.</param>
    /// <param name="handoff">A handoff job or sweep of the same machine, for the transfer page; null for none.</param>
    /// <param name="kernels">Its kernels, for the roofline; null for none.</param>
    internal static string Render(EvaluationSummary s, Summary? handoff = null, KernelSummary? kernels = null)
    {
        EvaluationSamples? main = EvaluationSamples.Leading(s);
        IReadOnlyList<ReportFigure> transfers = handoff is null ? [] : TransferFigures.All(handoff.Sweep, handoff.Fits);
        bool hasTransfers = transfers.Count > 0 || handoff?.Transfers.Count > 0;
        var contents = new List<(string, string)> { ("verdict", "Verdict") };
        if (main is not null) contents.Add(("handoff", "Handoff"));
        if (s.Baseline is not null) contents.Add(("baseline", "Baseline"));
        if (main is not null) contents.AddRange([("study", "Eight charts"), ("distributions", "Distributions"), ("load", "Over load"), ("timeline", "Timeline")]);
        if (hasTransfers) contents.Add(("transfers", "Transfers"));
        if (kernels?.Tables().Any() == true) contents.Add(("kernels", "Kernels"));
        contents.AddRange([("errors", "Errors and retries"), ("provenance", "Provenance")]);
        var page = new HtmlPage($"KvHandoff: {s.Config.Model} evaluated", $"{s.Config.Model} at {s.Config.Endpoint}", s.Environment, s.ElapsedSeconds, contents);
        page.Section("verdict", "Verdict");
        VerdictStrip.Add(page, s, main);
        Loads(page, s);
        if (main is not null) Handoff(page, main);
        if (s.Baseline is { } baseline)
        {
            page.Section("baseline", "Against the monolithic route", $"The same load over both routes in turns, {baseline.Turns} each. {BaselineFigures.Texts(baseline.Texts)}");
            page.Figures(BaselineFigures.All(baseline));
        }

        if (main is not null) Measured(page, s, main);
        if (hasTransfers)
        {
            page.Section("transfers", "Transfers", $"Measured by the handoff job on {handoff!.Environment.Cpu}, {handoff.Environment.Time}.");
            page.Figures(transfers);
            foreach (ReportTable table in ReportTables.All(handoff).Where(t => t.Id is "transfers" or "fits")) page.Rows(table);
        }

        if (kernels?.Tables().Any() == true)
        {
            page.Section("kernels", "Kernels", $"Measured on {kernels.Environment.Cpu}, {kernels.Environment.Time}.");
            HtmlReport.RooflineOf(page, kernels, 3);
            foreach (ReportTable table in kernels.Tables()) page.Rows(table);
        }

        page.Section("errors", "Errors and retries");
        ErrorSection.Add(page, s);
        page.Section("provenance", "Provenance");
        ProvenanceSection.Add(page, s);
        Embed(page, s);
        return page.Close();
    }

    private static void Handoff(HtmlPage page, EvaluationSamples main)
    {
        page.Section("handoff", "Handoff", "From the server's own account of each request. A phase of the handoff is drawn so that it ends with the verdict; phases overlap each other and prefill.");
        page.Figures(WaterfallFigures.All(main));
    }

    private static void Measured(HtmlPage page, EvaluationSummary s, EvaluationSamples main)
    {
        page.Section("study", "Eight charts", $"The charts of the original study, drawn from the raw samples of {main.Title}.");
        page.Figures(StudyFigures.All(main));
        page.Section("distributions", "Distributions");
        page.Figures(LoadFigures.Distributions(main, s.Slo));
        page.Section("load", "Latency and goodput over load");
        page.Figures(LoadFigures.Curves(s));
        page.Section("timeline", "Timeline");
        page.Figures([TimelineFigures.Of(main, 0)]);
        EvaluationSamples[] others = [.. Enumerable.Range(0, s.Loads.Count).Where(i => !ReferenceEquals(s.Loads[i], main.Load)).Take(MostTimelines).Select(i => EvaluationSamples.Of(s, i))];
        if (others.Length == 0) return;
        page.Add("<details><summary>Timelines of the other loads</summary>\n");
        page.Figures(others.Select((o, i) => TimelineFigures.Of(o, i + 1)));
        page.Add("</details>\n");
    }

    private static void Loads(HtmlPage page, EvaluationSummary s)
    {
        if (s.Loads.Count == 0) return;
        page.Rows(new ReportTable("loads", "All loads", "Percentiles of all prompt types together.",
            [new("load", false), new("route", false), new("ok"), new("failed"), new("cancelled"), new("requests/s"), new("tokens/s"), .. new[] { "TTFT", "per token", "latency" }.SelectMany(n => new[] { "p50", "p90", "p99" }.Select(p => new ReportColumn($"{n} {p}"))), new("within objectives")],
            [.. s.Loads.Select(l => (string[])
            [
                l.Name, l.Route, ChartNumber.Short(l.Ok), ChartNumber.Short(l.Failed), ChartNumber.Short(l.Cancelled), ChartNumber.Short(l.Throughput.RequestsPerSecond), ChartNumber.Short(l.Throughput.OutputTokensPerSecond),
                .. new[] { MetricNames.FirstToken, MetricNames.InterToken, MetricNames.Latency }.Select(n => l.Stages.FirstOrDefault(g => g.Name == EvaluationSamples.All)?.Metrics.GetValueOrDefault(n)).SelectMany(m => new[] { ChartNumber.Seconds(m?.P50), ChartNumber.Seconds(m?.P90), ChartNumber.Seconds(m?.P99) }),
                ChartNumber.Share(l.Goodput?.Share),
            ])]));
    }

    // The page is then all that has to be kept. Arrival times of single chunks stay in records.jsonl.
    private static void Embed(HtmlPage page, EvaluationSummary s)
    {
        byte[] json = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(s with { Requests = [.. s.Requests.Select(r => r with { ContentChunkSeconds = [] })], ChunkTimesOmitted = true }, new JsonSerializerOptions(Summary.Options) { WriteIndented = false }));
        if (json.Length > MostEmbeddedBytes) page.Add("<p class=\"note\">All figures: summary.json beside this page.</p>\n");
        else page.Add($"<p><a download=\"summary.json\" href=\"data:application/json;base64,{Convert.ToBase64String(json)}\">All figures and requests as JSON</a>, kept in this page ({ChartNumber.Bytes(json.Length)}).</p>\n");
    }
}
