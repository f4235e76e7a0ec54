using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>The answer at the top of the page: whether the objectives hold, and the figures that decide.</summary>
internal static class VerdictStrip
{
    internal static void Add(HtmlPage page, EvaluationSummary summary, EvaluationSamples? main)
    {
        foreach (string failure in summary.Failures) page.Add($"<p class=\"bad\">{HtmlPage.Text(failure)}</p>\n");
        if (summary.Run.WasCancelled) page.Add("<p class=\"warn\">The run was interrupted: the figures are of what had ended by then.</p>\n");
        foreach (string warning in summary.Warnings) page.Add($"<p class=\"warn\">{HtmlPage.Text(warning)}</p>\n");
        if (main is null)
        {
            page.Add("<p class=\"bad\">No load was run: there is nothing to report.</p>\n");
            return;
        }

        page.Add($"<p class=\"note\">Figures of {HtmlPage.Text(main.Title)}, {main.Ok.Count} requests that succeeded; intervals are bootstrap intervals of 95 %.</p>\n<ul class=\"facts\">\n");
        Objectives(page, summary, main.Load);
        foreach (string name in new[] { MetricNames.FirstToken, MetricNames.InterToken, MetricNames.Latency }) Percentiles(page, main, name);
        Tile(page, ChartNumber.InUnit(main.Load.Throughput.OutputTokensPerSecond, "tok/s"), "of all requests together", $"{ChartNumber.Short(main.Load.Throughput.RequestsPerSecond)} requests/s; at most {main.Load.Throughput.PeakConcurrency} at once");
        Errors(page, main);
        Handoff(page, main);
        Speedup(page, summary, main);
        page.Add("</ul>\n");
    }

    private static void Objectives(HtmlPage page, EvaluationSummary summary, LoadSection load)
    {
        if (summary.Slo is not { } slo)
        {
            Tile(page, "no objectives", "were given, so that none is met or missed", "");
            return;
        }

        string wanted = slo.WantedShare is { } share ? $", {ChartNumber.Share(share)} wanted" : "";
        string objectives = string.Join(", ", slo.Objectives.Select(o => $"{o.Name} ≤ {ChartNumber.Seconds(o.LimitSeconds)}{(load.Goodput?.ObjectiveShares.TryGetValue(o.Name, out double met) == true ? $" ({ChartNumber.Share(met)})" : "")}"));
        Tile(page, slo.Met switch { true => "objectives met", false => "OBJECTIVES MISSED", _ => "objectives counted" }, objectives, slo.WantedShare is null ? "no share was asked for" : "of every load", slo.Met switch { true => "good", false => "bad", _ => "" });
        Tile(page, $"{ChartNumber.Short(load.Goodput?.RequestsPerSecond)} requests/s", $"goodput: {ChartNumber.Share(load.Goodput?.Share)} of the requests within all objectives{wanted}", $"{ChartNumber.Short(load.Goodput?.OutputTokensPerSecond)} tokens/s");
    }

    private static void Percentiles(HtmlPage page, EvaluationSamples main, string name)
    {
        SampleMetric metric = EvaluationSamples.Metric(name);
        if (main.Load.Stages.FirstOrDefault(s => s.Name == EvaluationSamples.All)?.Metrics.GetValueOrDefault(name) is not { } m)
        {
            Tile(page, ChartNumber.Unknown, metric.Title, "no sample");
            return;
        }

        Tile(page, ChartNumber.Seconds(m.P50), $"{metric.Title}, median{Range(m.P50Ci95)}", $"p90 {ChartNumber.Seconds(m.P90)}{Range(m.P90Ci95)}; p99 {ChartNumber.Seconds(m.P99)}{Range(m.P99Ci95)}");
    }

    private static string Range(Interval? interval) => interval is null ? "" : $" ({ChartNumber.Seconds(interval.Low)} to {ChartNumber.Seconds(interval.High)})";

    private static void Errors(HtmlPage page, EvaluationSamples main)
    {
        int all = main.Load.Ok + main.Load.Failed + main.Load.Cancelled;
        Tile(page, all == 0 ? ChartNumber.Unknown : ChartNumber.Share(main.Load.Failed / (double)all), $"of {all} requests failed", $"{main.Load.Cancelled} cancelled, {main.Load.Retries} retries", main.Load.Failed > 0 ? "bad" : "");
    }

    private static void Handoff(HtmlPage page, EvaluationSamples main)
    {
        double[] exposed = main.Values(EvaluationSamples.All, EvaluationSamples.Exposed);
        if (exposed.Length == 0) return;
        double bytes = main.Ok.Sum(r => (double)(r.Server?.Handoff?.KvBytes ?? 0)), wire = main.Ok.Sum(r => (double)(r.Server?.Handoff?.WireBytes ?? 0));
        if (bytes > 0) Tile(page, ChartNumber.Bytes(bytes), $"of K and V handed over in {exposed.Length} handoffs", $"{ChartNumber.Bytes(wire)} travelled");
        double? hidden = EvaluationSamples.Median(main.Values(EvaluationSamples.All, WaterfallFigures.HiddenShare));
        Tile(page, ChartNumber.Seconds(EvaluationSamples.Median(exposed)), "of the handoff exposed after prefill, median", hidden is { } share ? $"{ChartNumber.Share(share)} of its work hidden" : "the server does not tell its phases");
    }

    private static void Speedup(HtmlPage page, EvaluationSummary summary, EvaluationSamples main)
    {
        foreach (string metric in new[] { MetricNames.Latency, MetricNames.FirstToken })
        {
            BaselineRow? row = summary.Baseline?.Rows.Where(r => r.Metric == metric && r.Stage == EvaluationSamples.All && r.Load == main.Load.Name).OrderBy(r => r.Statistic == "mean" ? 0 : 1).FirstOrDefault();
            if (row is not { Disaggregated: > 0, Monolithic: > 0 }) continue;
            string verdict = row.Verdict switch { "gain" => "gained", "loss" => "lost", _ => "no certain difference" };
            Tile(page, $"{ChartNumber.Short(row.Monolithic / row.Disaggregated)}x", $"speed-up of the {(row.Statistic == "p50" ? "median" : row.Statistic)} {EvaluationSamples.Metric(metric).Title} against the monolithic route", $"{ChartNumber.Seconds(row.Monolithic)} against {ChartNumber.Seconds(row.Disaggregated)}: {verdict}", row.Verdict switch { "gain" => "good", "loss" => "bad", _ => "" });
        }
    }

    private static void Tile(HtmlPage page, string figure, string meaning, string more, string look = "") =>
        page.Add($"<li><b{(look.Length > 0 ? $" class=\"{look}\"" : "")}>{HtmlPage.Text(figure)}</b>{HtmlPage.Text(meaning)}{(more.Length > 0 ? $"<small>{HtmlPage.Text(more)}</small>" : "")}</li>\n");
}
