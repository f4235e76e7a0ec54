using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;
using RouteBaseline = KvHandoff.Bench.Evaluation.BaselineSection;

namespace KvHandoff.Bench.Reports;

/// <summary>What disaggregation gained or cost against the monolithic route of the same run.</summary>
internal static class BaselineFigures
{
    internal static IEnumerable<ReportFigure> All(RouteBaseline baseline) => baseline.Rows.Where(r => r.DifferencePercent is { } p && double.IsFinite(p) && r.Monolithic > 0).GroupBy(r => r.Load).Select((load, i) =>
    {
        BaselineRow[] rows = [.. load.OrderBy(r => r.Stage == EvaluationSamples.All ? 0 : 1).ThenBy(r => r.Stage, StringComparer.Ordinal)];
        BaselineRow[] shown = [.. rows.Where(r => r.Stage == EvaluationSamples.All ? r.Statistic == "mean" && r.Metric is MetricNames.FirstToken or MetricNames.InterToken or MetricNames.Latency or MetricNames.OutputSpeed : r.Statistic == "p50" && r.Metric is MetricNames.FirstToken or MetricNames.Latency).Take(24)];
        IntervalRow[] drawn = [.. shown.Select(r => new IntervalRow(Name(r), r.DifferencePercent!.Value, r.DifferenceCi95?.Low / r.Monolithic * 100, r.DifferenceCi95?.High / r.Monolithic * 100, r.Verdict switch { "gain" => 2, "loss" => 1, _ => 5 }, $"{Signed(r.DifferencePercent!.Value)}{(r.Verdict == "none" ? "" : " " + r.Verdict)}"))];
        return new ReportFigure($"baseline_{i}", $"Disaggregated against monolithic: {load.Key}", "Difference in percent of the monolithic route, with its bootstrap interval of 95 %; an interval that holds 0 decides nothing. Of all prompts the means: medians of a mix say little.",
            (id, size) => IntervalChart.Draw(id, size, $"Disaggregated against monolithic, {load.Key}: {string.Join("; ", drawn.Select(r => $"{r.Name} {r.EndText}"))}", "difference (%)", drawn, v => ChartNumber.Short(v)), Table(load.Key, rows))
        { IsWhole = true };
    });

    internal static string Texts(TextEqualitySection texts) => !texts.Compared ? "Texts were not compared: only at temperature 0 both routes promise the same." : texts.Differences.Count == 0 ? $"Both routes wrote the same text for all of {texts.Prompts} prompts." : $"{texts.Differences.Count} of {texts.Prompts} prompts were answered differently by the two routes.";

    private static string Name(BaselineRow r) => $"{Title(r.Metric)}, {(r.Statistic == "p50" ? "median" : r.Statistic)}, {EvaluationSamples.Spoken(r.Stage)}";

    private static string Title(string metric) => EvaluationSamples.Metrics.FirstOrDefault(m => m.Name == metric)?.Title ?? metric.Replace('_', ' ');

    private static string Signed(double percent) => (percent > 0 ? "+" : "") + ChartNumber.Percent(percent);

    private static ReportTable Table(string load, BaselineRow[] rows) => new("baseline-numbers", $"Both routes, {load}", "", [new("metric", false), new("prompt", false), new("", false), new("disaggregated"), new("monolithic"), new("difference"), new("%"), new("least"), new("most"), new("", false)],
        [.. rows.Select(r => (string[])[Title(r.Metric), EvaluationSamples.Spoken(r.Stage), r.Statistic, ChartNumber.InUnit(r.Disaggregated, r.Unit), ChartNumber.InUnit(r.Monolithic, r.Unit), ChartNumber.InUnit(r.Difference, r.Unit), ChartNumber.Short(r.DifferencePercent), ChartNumber.InUnit(r.DifferenceCi95?.Low, r.Unit), ChartNumber.InUnit(r.DifferenceCi95?.High, r.Unit), r.Verdict])]);
}
