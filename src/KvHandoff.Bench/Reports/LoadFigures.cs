using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>What becomes of latency, throughput and goodput as the load grows; and how latencies are distributed.</summary>
internal static class LoadFigures
{
    private static readonly (string Kind, string Axis, Func<LoadSection, double?> Of)[] Sizes = [("closed", "concurrent requests", l => l.Concurrency), ("poisson", "requests per second offered", l => l.RatePerSecond), ("trace", "speed of the trace", l => l.TraceSpeed)];

    internal static IReadOnlyList<ReportFigure> Curves(EvaluationSummary summary)
    {
        var figures = new List<ReportFigure>();
        foreach ((string kind, string axis, Func<LoadSection, double?> of) in Sizes)
        {
            LoadSection[] loads = [.. summary.Loads.Where(l => l.Kind == kind && of(l) is > 0)];
            if (loads.Select(l => of(l)!.Value).Distinct().Count() < 2) continue;
            var x = new PlotAxis(axis, AxisScale.Decades(loads.Select(l => of(l)!.Value), 1.1), v => ChartNumber.Short(v), [.. loads.Select(l => of(l)!.Value).Distinct().Order()]);
            figures.Add(Percentiles($"first_token_over_load_{kind}", "Time to the first token over load", MetricNames.FirstToken, loads, of, x, summary));
            figures.Add(Percentiles($"per_token_over_load_{kind}", "Time per token over load", MetricNames.InterToken, loads, of, x, summary));
            figures.Add(Percentiles($"latency_over_load_{kind}", "Latency over load", MetricNames.Latency, loads, of, x, summary));
            figures.Add(Rates(kind, loads, of, x));
            if (Pareto(kind, loads) is { } pareto) figures.Add(pareto);
        }

        return figures.Count > 0 ? figures : [ReportFigure.Without("latency_over_load", "Latency and goodput over load", "One load alone was run; a curve needs two or more (several values of --concurrency or --rate).") with { IsWhole = true }];
    }

    /// <summary>Cumulative distributions of one load's samples, per prompt type.</summary>
    internal static IEnumerable<ReportFigure> Distributions(EvaluationSamples s, SloSection? slo) => new[] { MetricNames.FirstToken, MetricNames.InterToken, MetricNames.Latency, MetricNames.OutputSpeed }.Select(name =>
    {
        SampleMetric metric = EvaluationSamples.Metric(name);
        string title = $"Distribution: {metric.Title}";
        (string Type, double[] Values)[] samples = [.. s.Types.Select(t => (t, s.Values(t, name))).Where(v => v.Item2.Length > 0)];
        if (samples.Length == 0) return ReportFigure.Without($"distribution_{name}", title, "No request gave a sample of it.");
        (double factor, string unit) = metric.Unit == MetricNames.Seconds ? ChartNumber.TimeUnit(samples.Max(v => v.Values.Max())) : (1, "tokens/second");
        PlotLine[] lines = [.. samples.Select((v, i) => LineChart.Distribution(EvaluationSamples.Spoken(v.Type), Colours[i % Colours.Length], v.Values.Select(t => t * factor), Strokes[i % Strokes.Length]))];
        double least = samples.Min(v => v.Values.Min()), most = samples.Max(v => v.Values.Max());
        bool isWide = least > 0 && most / least > 30;
        AxisScale scale = isWide ? AxisScale.Decades([least * factor, most * factor]) : AxisScale.FromZero([most * factor], 6);
        string objective = slo?.Objectives.FirstOrDefault(o => o.Metric == name) is { } o ? $" The objective is {ChartNumber.Seconds(o.LimitSeconds)}: {ChartNumber.Share(samples.Sum(v => v.Values.Count(t => t <= o.LimitSeconds)) / (double)samples.Sum(v => v.Values.Length))} of the samples are within it." : "";
        return new ReportFigure($"distribution_{name}", title, $"Share of requests at or below each value.{objective}", (id, size) => LineChart.Draw(id, size, $"{title}. {string.Join("; ", samples.Select(v => $"{EvaluationSamples.Spoken(v.Type)}: median {ChartNumber.InUnit(EvaluationSamples.Median(v.Values), metric.Unit)}"))}", new PlotAxis($"{metric.Title} ({unit})", scale, v => ChartNumber.Short(v)), new PlotAxis("share of requests", new AxisScale(0, 1), v => ChartNumber.Share(v)), lines, plotHeight: 220));
    });

    internal static readonly int[] Colours = [0, 1, 2, 3, 6, 4, 7, 5];

    internal static readonly string[] Strokes = ["", "dashed", "dots", ""];

    private static ReportFigure Percentiles(string stem, string title, string name, LoadSection[] loads, Func<LoadSection, double?> of, PlotAxis x, EvaluationSummary summary)
    {
        (double X, string Route, MetricStatistics Figures)[] points = [.. loads.Select(l => (X: of(l)!.Value, l.Route, Figures: l.Stages.FirstOrDefault(s => s.Name == EvaluationSamples.All)?.Metrics.GetValueOrDefault(name))).Where(p => p.Figures is not null).Select(p => (p.X, p.Route, p.Figures!)).OrderBy(p => p.X)];
        if (points.Length == 0) return ReportFigure.Without(stem, title, "No sample at any load.");
        string[] routes = [.. points.Select(p => p.Route).Distinct()];
        (double factor, string unit) = ChartNumber.TimeUnit(points.Max(p => p.Figures.P99));
        (string Name, int Colour, Func<MetricStatistics, double> Value, Func<MetricStatistics, Interval?> Range)[] percentiles = [("p50", 0, m => m.P50, m => m.P50Ci95), ("p90", 2, m => m.P90, _ => null), ("p99", 1, m => m.P99, _ => null)];
        PlotLine[] lines = [.. routes.SelectMany((r, i) => percentiles.Select(p => new PlotLine(routes.Length > 1 ? $"{p.Name}, {r}" : p.Name, p.Colour,
            [.. points.Where(q => q.Route == r).Select(q => new LinePoint(q.X, p.Value(q.Figures) * factor, p.Range(q.Figures)?.Low * factor, p.Range(q.Figures)?.High * factor))], i == 0 ? "" : "dashed", HasMarks: true)))];
        var scale = AxisScale.FromZero(lines.SelectMany(l => l.Points.SelectMany(p => new[] { p.Y, p.High ?? p.Y })));
        (double, string)[] rules = [.. (summary.Slo?.Objectives ?? []).Where(o => o.Metric == name).Select(o => (o.LimitSeconds * factor, $"objective {ChartNumber.Seconds(o.LimitSeconds)}"))];
        return new ReportFigure(stem, title, "All prompt types; the band is the bootstrap interval of 95 % of the median.", (id, size) => LineChart.Draw(id, size, $"{title}: {string.Join("; ", points.Select(p => $"{p.Route} at {ChartNumber.Short(p.X)}: median {ChartNumber.Seconds(p.Figures.P50)}, p99 {ChartNumber.Seconds(p.Figures.P99)}"))}", x, new PlotAxis($"{EvaluationSamples.Metric(name).Title} ({unit})", scale, v => ChartNumber.Short(v)), lines, rules),
            new ReportTable(stem + "-numbers", title, "", [new("load", false), new("route", false), new("p50"), new("p90"), new("p99"), new("samples")], [.. points.Select(p => (string[])[ChartNumber.Short(p.X), p.Route, ChartNumber.Seconds(p.Figures.P50), ChartNumber.Seconds(p.Figures.P90), ChartNumber.Seconds(p.Figures.P99), ChartNumber.Short(p.Figures.Count)])]));
    }

    private static ReportFigure Rates(string kind, LoadSection[] loads, Func<LoadSection, double?> of, PlotAxis x)
    {
        string[] routes = [.. loads.Select(l => l.Route).Distinct()];
        var lines = new List<PlotLine>();
        foreach ((string route, int i) in routes.Select((r, i) => (r, i)))
        {
            LoadSection[] mine = [.. loads.Where(l => l.Route == route).OrderBy(of)];
            string suffix = routes.Length > 1 ? $", {route}" : "", stroke = i == 0 ? "" : "dashed";
            lines.Add(new PlotLine("completed" + suffix, 0, [.. mine.Where(l => l.Throughput.RequestsPerSecond is not null).Select(l => new LinePoint(of(l)!.Value, l.Throughput.RequestsPerSecond!.Value))], stroke, HasMarks: true));
            if (mine.Any(l => l.Goodput?.RequestsPerSecond is not null)) lines.Add(new PlotLine("goodput" + suffix, 2, [.. mine.Where(l => l.Goodput?.RequestsPerSecond is not null).Select(l => new LinePoint(of(l)!.Value, l.Goodput!.RequestsPerSecond!.Value))], stroke, HasMarks: true));
        }

        if (kind == "poisson") lines.Add(new PlotLine("offered", 5, [.. loads.Select(of).OfType<double>().Distinct().Order().Select(v => new LinePoint(v, v))], "dots"));
        return new ReportFigure($"goodput_over_load_{kind}", "Throughput and goodput over load", loads.Any(l => l.Goodput is not null) ? "Goodput: requests within all objectives." : "No objectives were given, so that there is no goodput.", (id, size) => LineChart.Draw(id, size, $"Requests per second over {x.Name}: {string.Join("; ", loads.Select(l => $"{l.Name}, {l.Route}: {ChartNumber.Short(l.Throughput.RequestsPerSecond)} completed, {ChartNumber.Short(l.Goodput?.RequestsPerSecond)} within the objectives"))}", x, new PlotAxis("requests per second", AxisScale.FromZero(lines.SelectMany(l => l.Points.Select(p => p.Y))), v => ChartNumber.Short(v)), lines),
            new ReportTable($"goodput-{kind}-numbers", "Throughput and goodput", "", [new("load", false), new("route", false), new("completed /s"), new("within objectives /s"), new("share"), new("output tokens/s")], [.. loads.Select(l => (string[])[l.Name, l.Route, ChartNumber.Short(l.Throughput.RequestsPerSecond), ChartNumber.Short(l.Goodput?.RequestsPerSecond), ChartNumber.Share(l.Goodput?.Share), ChartNumber.Short(l.Throughput.OutputTokensPerSecond)])]));
    }

    // What the system gives in all against what each user gets.
    private static ReportFigure? Pareto(string kind, LoadSection[] loads)
    {
        (LoadSection Load, double User, double All)[] points = [.. loads.Select(l => (l, User: l.Stages.FirstOrDefault(s => s.Name == EvaluationSamples.All)?.Metrics.GetValueOrDefault(MetricNames.OutputSpeed)?.P50, All: l.Throughput.OutputTokensPerSecond)).Where(p => p.User is > 0 && p.All is > 0).Select(p => (p.l, p.User!.Value, p.All!.Value))];
        if (points.Length < 2) return null;
        string[] routes = [.. points.Select(p => p.Load.Route).Distinct()];
        PlotLine[] lines = [.. routes.Select((r, i) => new PlotLine(r, i, [.. points.Where(p => p.Load.Route == r).OrderBy(p => p.Load.StartedAt).Select(p => new LinePoint(p.User, p.All))], Strokes[i % Strokes.Length], HasMarks: true))];
        return new ReportFigure($"pareto_{kind}", "Throughput of all against speed of one", "One point per load; up and to the right is better.", (id, size) => LineChart.Draw(id, size, $"Output tokens per second of all over the median speed of one request: {string.Join("; ", points.Select(p => $"{p.Load.Name}, {p.Load.Route}: {ChartNumber.Short(p.All)} in all, {ChartNumber.Short(p.User)} for one"))}", new PlotAxis("tokens/second of one request, median", AxisScale.FromZero(points.Select(p => p.User), 6), v => ChartNumber.Short(v)), new PlotAxis("output tokens/second of all", AxisScale.FromZero(points.Select(p => p.All)), v => ChartNumber.Short(v)), lines));
    }
}
