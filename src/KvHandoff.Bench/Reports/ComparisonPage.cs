using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Reports;

/// <summary>Runs laid over each other: what changed for certain, how samples are distributed, and every number.</summary>
internal static class ComparisonPage
{
    private const int MostLoads = 6, MostIntervals = 40;

    internal static string Render(RunComparison c, IReadOnlyList<ComparedRun> runs)
    {
        var page = new HtmlPage("KvHandoff: runs compared", string.Join(" against ", c.Runs.Keys.Skip(1).Append(c.Runs.Keys.First())), MachineDescription.Describe(), c.ElapsedSeconds, [("runs", "Runs"), ("differences", "Differences"), ("distributions", "Distributions"), ("numbers", "Numbers")]);
        foreach (string failure in c.Failures) page.Add($"<p class=\"bad\">{HtmlPage.Text(failure)}</p>\n");
        page.Section("runs", "Runs");
        page.Add("<dl class=\"facts-list\">\n");
        foreach ((string name, string about) in c.Runs) page.Add($"<dt>{HtmlPage.Text(name)}</dt><dd>{HtmlPage.Text(about)}</dd>\n");
        page.Add("</dl>\n");
        foreach (string warning in c.Warnings) page.Add($"<p class=\"warn\">{HtmlPage.Text(warning)}</p>\n");
        page.Section("differences", "Differences", "In percent of the first run, with bootstrap intervals of 95 % from the raw samples; an interval that holds 0 decides nothing.");
        page.Figures(c.Runs.Keys.Skip(1).SelectMany((run, i) => Differences(c, run, i)));
        page.Section("distributions", "Distributions", "Every sample of every run.");
        page.Figures(Distributions(runs));
        page.Section("numbers", "Numbers");
        foreach ((string run, int i) in c.Runs.Keys.Skip(1).Select((r, i) => (r, i))) Numbers(page, c, run, i);
        return page.Close();
    }

    private static void Numbers(HtmlPage page, RunComparison c, string run, int index)
    {
        page.Rows(c.Table($"numbers-{index}", run, c.Rows.Where(r => r.Run == run && RunComparison.IsHeadline(r) && r.Statistic is "p50" or "p90")));
        page.Add("<details><summary>Every metric and statistic</summary>\n");
        page.Rows(c.Table($"all-numbers-{index}", run, c.Rows.Where(r => r.Run == run)));
        page.Add("</details>\n");
    }

    private static IEnumerable<ReportFigure> Differences(RunComparison c, string run, int index) => c.Rows.Where(r => r.Run == run && RunComparison.IsHeadline(r) && r.Statistic == (r.Stage == EvaluationSamples.All ? "mean" : "p50") && r.DifferencePercent is { } p && double.IsFinite(p)).GroupBy(r => r.Load).Take(MostLoads).Select((load, l) =>
    {
        IntervalRow[] rows = [.. load.Take(MostIntervals).Select(r => new IntervalRow($"{RunComparison.Title(r.Metric)}, {EvaluationSamples.Spoken(r.Stage)}", r.DifferencePercent!.Value, r.DifferenceCi95?.Low / r.First * 100, r.DifferenceCi95?.High / r.First * 100, r.Verdict switch { "gain" => 2, "loss" => 1, _ => 5 }, $"{(r.DifferencePercent > 0 ? "+" : "")}{ChartNumber.Percent(r.DifferencePercent)}{(r.DifferenceCi95 is null ? " (few samples)" : r.Verdict == "none" ? "" : " " + r.Verdict)}"))];
        string title = $"{run}: {load.Key}";
        return new ReportFigure($"differences_{index}_{l}", title, "Medians; of all prompts together means.", (id, size) => IntervalChart.Draw(id, size, $"Differences of {title}: {string.Join("; ", rows.Select(r => $"{r.Name} {r.EndText}"))}", "difference (%)", rows, v => ChartNumber.Short(v))) { IsWhole = true };
    });

    private static IEnumerable<ReportFigure> Distributions(IReadOnlyList<ComparedRun> runs)
    {
        ComparedKey[] keys = [.. runs[0].Samples.Keys.Where(k => runs.Any(r => r != runs[0] && r.Samples.ContainsKey(k)))];
        (string Load, string Metric)[] panels = [.. keys.Where(k => k.Metric is MetricNames.FirstToken or MetricNames.InterToken or MetricNames.Latency or "seconds").Select(k => (k.Load, k.Metric)).Distinct().Take(3 * MostLoads)];
        for (int p = 0; p < panels.Length; p++)
        {
            (string load, string metric) = panels[p];
            string[] stages = [.. keys.Where(k => k.Load == load && k.Metric == metric).Select(k => k.Stage)];
            string title = $"{RunComparison.Title(metric)}: {load}";
            double[][] all = [.. runs.Select(r => stages.Where(s => s == EvaluationSamples.All || !stages.Contains(EvaluationSamples.All)).SelectMany(s => r.Samples.GetValueOrDefault(new ComparedKey(load, s, metric))?.Values ?? []).ToArray())];
            (double factor, string unit) = ChartNumber.TimeUnit(all.SelectMany(v => v).DefaultIfEmpty(0).Max());
            if (stages.Contains(EvaluationSamples.All))
            {
                PlotLine[] lines = [.. runs.Select((r, i) => LineChart.Distribution(r.Name, LoadFigures.Colours[i % LoadFigures.Colours.Length], all[i].Select(v => v * factor), LoadFigures.Strokes[i % LoadFigures.Strokes.Length])).Where(l => l.Points.Count > 0)];
                AxisScale scale = AxisScale.FromZero(all.SelectMany(v => v.Select(x => x * factor)), 6);
                yield return new ReportFigure($"overlay_{p}", $"Distribution of {title}", "All prompt types together.", (id, size) => LineChart.Draw(id, size, $"Distribution of {title}: {string.Join("; ", runs.Select((r, i) => $"{r.Name} median {ChartNumber.Seconds(EvaluationSamples.Median(all[i]))}"))}", new PlotAxis(unit, scale, v => ChartNumber.Short(v)), new PlotAxis("share of samples", new AxisScale(0, 1), v => ChartNumber.Share(v)), lines, plotHeight: 200));
            }

            string[] kinds = [.. stages.Where(s => s != EvaluationSamples.All).Take(8)];
            if (kinds.Length == 0) continue;
            BarSeries[] bars = [.. runs.Select((r, i) => new BarSeries(r.Name, LoadFigures.Colours[i % LoadFigures.Colours.Length], (Hatch)(i % 5), [.. kinds.Select(k => Bar(r.Samples.GetValueOrDefault(new ComparedKey(load, k, metric))?.Values, factor))]))];
            string[] names = [.. kinds.Select(EvaluationSamples.Spoken)];
            yield return new ReportFigure($"medians_{p}", $"Median and quartiles of {title}", "Bars: medians. Caps: quartiles.", (id, size) => BarChart.Draw(id, size, $"Medians of {title}: {string.Join(" ", bars.Select(b => $"{b.Name}: {string.Join(", ", names.Select((n, i) => $"{n} {ChartNumber.Short(b.Values[i]?.Value)} {unit}"))}."))}", unit, names, bars, v => ChartNumber.Short(v), 200)) { IsWhole = kinds.Length > 4 };
        }
    }

    private static BarValue? Bar(double[]? samples, double factor) => BoxStatistics.Of(samples ?? []) is { } box ? new BarValue(box.Median * factor, box.LowerQuartile * factor, box.UpperQuartile * factor) : null;
}
