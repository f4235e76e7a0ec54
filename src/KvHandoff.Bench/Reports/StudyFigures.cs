using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>The eight charts of the original study, from raw samples of one load.</summary>
internal static class StudyFigures
{
    private const int Server = 0, Client = 1, First = 2, Overhead = 3;

    internal static IReadOnlyList<ReportFigure> All(EvaluationSamples s) => [Latency(s), Throughput(s), FirstToken(s), Tokens(s), Components(s), NetworkOverhead(s), Variability(s), Boxes(s)];

    private static ReportFigure Latency(EvaluationSamples s) => Bars(s, "latency_comparison", "Latency at the server and at the client", "Mean per request; caps are one standard deviation.", "Latency", MetricNames.Seconds,
        ("server", Server, Hatch.None, MetricNames.ServerTotal), ("client", Client, Hatch.Rising, MetricNames.Latency));

    private static ReportFigure Throughput(EvaluationSamples s) => Bars(s, "throughput_comparison", "Throughput at the server and at the client", "Tokens per second of one request, counted by the server; caps are one standard deviation.", "Throughput (tokens/second)", MetricNames.TokensPerSecond,
        ("server", Server, Hatch.None, MetricNames.ServerThroughput), ("client", Client, Hatch.Rising, MetricNames.OutputSpeed));

    private static ReportFigure FirstToken(EvaluationSamples s) => Bars(s, "first_token_latency", "Time to the first token", "From sending the last attempt to the first event with content; caps are one standard deviation.", "Time", MetricNames.Seconds,
        ("first token", First, Hatch.None, MetricNames.FirstToken));

    private static ReportFigure Bars(EvaluationSamples s, string stem, string title, string note, string axis, string unit, params (string Name, int Colour, Hatch Hatch, string Metric)[] series)
    {
        double[][][] samples = [.. series.Select(x => s.Types.Select(t => s.Values(t, x.Metric)).ToArray())];
        if (samples.All(x => x.All(v => v.Length == 0))) return ReportFigure.Without(stem, title, Nothing(s));
        (double factor, string name) = unit == MetricNames.Seconds ? Unit(samples.SelectMany(x => x.Select(v => v.DefaultIfEmpty(0).Average()))) : (1, "");
        BarSeries[] bars = [.. series.Select((x, i) => new BarSeries(x.Name, x.Colour, x.Hatch, [.. samples[i].Select(v => Bar(v, factor))]))];
        string[] names = [.. s.Types.Select(EvaluationSamples.Spoken)];
        string axisName = name.Length > 0 ? $"{axis} ({name})" : axis;
        return new ReportFigure(stem, title, note, (id, size) => BarChart.Draw(id, size, About(title, names, bars, axisName), axisName, names, bars, v => ChartNumber.Short(v)),
            Numbers(stem, title, unit, s, [.. series.Select(x => (x.Name, EvaluationSamples.Metric(x.Metric).Of))]));
    }

    private static ReportFigure Components(EvaluationSamples s)
    {
        const string Stem = "server_component_times", Title = "Where the server's time goes";
        (string Name, int Colour, Hatch Hatch, Func<RequestRecord, double?> Of)[] parts =
        [
            ("queue", 5, Hatch.Dotted, r => r.Server?.QueueSeconds), ("prompt", 0, Hatch.None, r => r.Server?.PromptSeconds), ("handoff", 1, Hatch.Rising, r => r.Server?.HandoffSeconds),
            ("completion", 2, Hatch.Level, r => r.Server?.CompletionSeconds), ("unattributed", 4, Hatch.Falling, r => r.Server?.UnattributedSeconds),
        ];
        parts = [.. parts.Where(p => s.Ok.Any(r => p.Of(r) is { } v && double.IsFinite(v)))];
        if (parts.Length == 0) return ReportFigure.Without(Stem, Title, s.Ok.Count == 0 ? Nothing(s) : "The endpoint tells nothing of its own times (no time_info).");
        double?[][] means = [.. parts.Select(p => s.Types.Select(t => EvaluationSamples.Mean(s.Values(t, p.Of))).ToArray())];
        (double factor, string unit) = Unit(Enumerable.Range(0, s.Types.Count).Select(t => means.Sum(m => m[t] ?? 0)));
        string[] names = [.. s.Types.Select(EvaluationSamples.Spoken)];
        StackPart[] stack = [.. parts.Select((p, i) => new StackPart(p.Name, p.Colour, p.Hatch, [.. means[i].Select(m => m * factor)]))];
        BarSeries[] side = [.. parts.Select(p => new BarSeries(p.Name, p.Colour, p.Hatch, [.. s.Types.Select(t => Bar(s.Values(t, p.Of), factor))]))];
        string Text(double v) => ChartNumber.Short(v);
        return new ReportFigure(Stem, Title, "Means of the server's own account. Unattributed: its total less the parts that it names. Below the same side by side, with standard deviations.", (id, size) =>
        {
            var canvas = new SvgCanvas(id, size.Width(), About(Title, names, side, unit));
            double bottom = StackedBarChart.Into(canvas, 0, $"Time ({unit}), stacked", names, stack, Text, 190);
            return canvas.Close(BarChart.Into(canvas, bottom + 14, $"Time ({unit}), side by side", names, side, Text, 190));
        }, Numbers(Stem, Title, MetricNames.Seconds, s, [.. parts.Select(p => (p.Name, p.Of))]));
    }

    private static ReportFigure NetworkOverhead(EvaluationSamples s)
    {
        const string Stem = "network_overhead", Title = "What the network adds";
        double[][] seconds = [.. s.Types.Select(t => s.Values(t, r => r.Client.NetworkOverheadSeconds))];
        if (seconds.All(v => v.Length == 0)) return ReportFigure.Without(Stem, Title, s.Ok.Count == 0 ? Nothing(s) : "The endpoint does not tell its total time, so that the network's share cannot be known.");
        // As the study has it: difference of the means, in percent of the server's.
        double?[] percent = [.. s.Types.Select(t => EvaluationSamples.Mean(s.Values(t, MetricNames.ServerTotal)) is { } server && server > 0 ? EvaluationSamples.Mean(s.Values(t, r => r.Client.NetworkOverheadSeconds)) / server * 100 : null)];
        (double factor, string unit) = Unit(seconds.Select(v => v.DefaultIfEmpty(0).Average()));
        string[] names = [.. s.Types.Select(EvaluationSamples.Spoken)];
        BarSeries[] shares = [new BarSeries("network overhead", Overhead, Hatch.None, [.. percent.Select(p => p is { } v ? new BarValue(v) : null)])], times = [new BarSeries("network overhead", Overhead, Hatch.Falling, [.. seconds.Select(v => Bar(v, factor))])];
        var rows = new ReportTable(Stem + "-numbers", Title, "", [new("prompt", false), new("of the server's mean %"), new("mean ms"), new("median ms"), new("samples")],
            [.. s.Types.Select((t, i) => (string[])[EvaluationSamples.Spoken(t), ChartNumber.Short(percent[i]), ChartNumber.Short(EvaluationSamples.Mean(seconds[i]) * 1e3), ChartNumber.Short(EvaluationSamples.Median(seconds[i]) * 1e3), ChartNumber.Short(seconds[i].Length)])]);
        return new ReportFigure(Stem, Title, "Client latency less server total: above in percent of the server's mean, which is large wherever the server is quick; below in time, with standard deviations.", (id, size) =>
        {
            var canvas = new SvgCanvas(id, size.Width(), About(Title, names, times, unit));
            double bottom = BarChart.Into(canvas, 0, "Network overhead (% of server time)", names, shares, v => ChartNumber.Short(v), 170);
            return canvas.Close(BarChart.Into(canvas, bottom + 14, $"Network overhead ({unit})", names, times, v => ChartNumber.Short(v), 170));
        }, rows);
    }

    private static ReportFigure Tokens(EvaluationSamples s)
    {
        const string Stem = "token_usage", Title = "Tokens per request";
        double?[] prompt = [.. s.Types.Select(t => EvaluationSamples.Mean(s.Values(t, r => r.PromptTokens)))], completion = [.. s.Types.Select(t => EvaluationSamples.Mean(s.Values(t, r => r.CompletionTokens)))];
        if (prompt.Concat(completion).All(v => v is null)) return ReportFigure.Without(Stem, Title, s.Ok.Count == 0 ? Nothing(s) : "The endpoint counts no tokens (no usage); chunks are not taken for tokens.");
        string[] names = [.. s.Types.Select(EvaluationSamples.Spoken)];
        StackPart[] parts = [new("prompt", 0, Hatch.None, prompt), new("completion", 1, Hatch.Rising, completion)];
        var rows = new ReportTable(Stem + "-numbers", Title, "Means.", [new("prompt", false), new("prompt tokens"), new("completion tokens"), new("total")],
            [.. s.Types.Select((t, i) => (string[])[EvaluationSamples.Spoken(t), ChartNumber.Short(prompt[i]), ChartNumber.Short(completion[i]), ChartNumber.Short(prompt[i] + completion[i])])]);
        return new ReportFigure(Stem, Title, "Means, as the server counts them.", (id, size) => StackedBarChart.Draw(id, size, $"{Title}: {string.Join("; ", names.Select((n, i) => $"{n}: {ChartNumber.Short(prompt[i])} and {ChartNumber.Short(completion[i])}"))}", "Token count", names, parts, v => ChartNumber.Short(v)), rows);
    }

    private static ReportFigure Variability(EvaluationSamples s)
    {
        const string Stem = "variability_heatmap", Title = "How much requests vary";
        (string Name, string Metric)[] metrics =
        [
            ("server total", MetricNames.ServerTotal), ("prompt time", MetricNames.ServerPrompt), ("completion time", MetricNames.ServerCompletion), ("queue time", MetricNames.ServerQueue),
            ("server throughput", MetricNames.ServerThroughput), ("first token", MetricNames.FirstToken), ("client latency", MetricNames.Latency), ("output speed", MetricNames.OutputSpeed),
        ];
        double?[][] shares = [.. s.Types.Select(t => metrics.Select(m => Relative(s.Values(t, m.Metric))).ToArray())];
        if (shares.All(r => r.All(v => v is null))) return ReportFigure.Without(Stem, Title, s.Ok.Count == 0 ? Nothing(s) : "No prompt type has two samples: a deviation needs two.") with { IsWhole = true };
        string[] rows = [.. s.Types.Select(EvaluationSamples.Spoken)], columns = [.. metrics.Select(m => m.Name)];
        return new ReportFigure(Stem, Title, "Standard deviation in percent of the mean, of one prompt type's requests.", (id, size) => HeatmapChart.Draw(id, size, $"{Title}: {string.Join("; ", rows.Select((r, i) => $"{r}: {string.Join(", ", columns.Select((c, k) => $"{c} {ChartNumber.Percent(shares[i][k])}"))}"))}", "Relative standard deviation (%)", rows, columns, shares, v => ChartNumber.Short(v)),
            new ReportTable(Stem + "-numbers", Title, "Percent.", [new("prompt", false), .. columns.Select(c => new ReportColumn(c))], [.. rows.Select((r, i) => (string[])[r, .. shares[i].Select(v => ChartNumber.Short(v))])]))
        { IsWhole = true };
    }

    private static ReportFigure Boxes(EvaluationSamples s)
    {
        const string Stem = "box_whisker_plots", Title = "Every sample";
        (string Name, int Colour, string Metric)[] panels =
        [
            ("Server latency", Server, MetricNames.ServerTotal), ("Client latency", Client, MetricNames.Latency), ("Time to first token", First, MetricNames.FirstToken),
            ("Server throughput", Server, MetricNames.ServerThroughput), ("Client throughput", Client, MetricNames.OutputSpeed),
        ];
        double[][][] samples = [.. panels.Select(p => s.Types.Select(t => s.Values(t, p.Metric)).ToArray())];
        if (samples.All(p => p.All(v => v.Length == 0))) return ReportFigure.Without(Stem, Title, Nothing(s)) with { IsWhole = true };
        string[] names = [.. s.Types.Select(EvaluationSamples.Spoken)];
        BoxPanel[] drawn = [.. panels.Select((p, i) =>
        {
            bool isTime = EvaluationSamples.Metric(p.Metric).Unit == MetricNames.Seconds;
            (double factor, string unit) = isTime ? Unit(samples[i].Select(v => v.DefaultIfEmpty(0).Max())) : (1, "tokens/second");
            return new BoxPanel($"{p.Name} ({unit})", p.Colour, v => ChartNumber.Short(v), [.. samples[i].Select(v => v.Select(x => x * factor).ToArray())]);
        })];
        var rows = new ReportTable(Stem + "-numbers", Title, "", [new("metric", false), new("prompt", false), new("samples"), new("whisker"), new("quartile"), new("median"), new("quartile"), new("whisker"), new("mean"), new("outliers")],
            [.. panels.SelectMany((p, i) => s.Types.Select((t, c) => (p.Name, EvaluationSamples.Metric(p.Metric).Unit, Type: t, Box: BoxStatistics.Of(samples[i][c])))).Where(r => r.Box is not null)
                .Select(r => (string[])[r.Name, EvaluationSamples.Spoken(r.Type), ChartNumber.Short(r.Box!.Count), .. new[] { r.Box.LowerWhisker, r.Box.LowerQuartile, r.Box.Median, r.Box.UpperQuartile, r.Box.UpperWhisker, r.Box.Mean }.Select(v => ChartNumber.InUnit(v, r.Unit)), ChartNumber.Short(r.Box.Outliers.Count)])]);
        return new ReportFigure(Stem, Title, "Box: quartiles and median. Whiskers: the last samples within 1.5 interquartile ranges. Circles: outliers. Diamond: mean. Dots: single samples, where they are few.",
            (id, size) => BoxPlot.Draw(id, size, $"Box plots of {string.Join(", ", panels.Select(p => p.Name))} per prompt type; the numbers follow as a table", names, drawn), rows)
        { IsWhole = true };
    }

    private static string Nothing(EvaluationSamples s) => $"Nothing to draw: of {s.Measured.Count} measured requests none succeeded with this figure.";

    private static BarValue? Bar(double[] samples, double factor)
    {
        if (EvaluationSamples.Mean(samples) is not { } mean) return null;
        double? deviation = EvaluationSamples.Deviation(samples);
        return new BarValue(mean * factor, (mean - deviation) * factor, (mean + deviation) * factor);
    }

    // The study's charts are in seconds; what takes less than a tenth of one is written in a smaller unit.
    private static (double Factor, string Unit) Unit(IEnumerable<double> seconds)
    {
        double most = seconds.DefaultIfEmpty(0).Max();
        return most is >= 0.1 or <= 0 ? (1, "seconds") : ChartNumber.TimeUnit(most);
    }

    private static double? Relative(double[] samples) => EvaluationSamples.Deviation(samples) is { } deviation && samples.Average() is var mean && mean > 0 ? deviation / mean * 100 : null;

    private static string About(string title, IReadOnlyList<string> names, IReadOnlyList<BarSeries> series, string unit) =>
        $"{title}, {unit}. {string.Join(" ", series.Select(x => $"{x.Name}: {string.Join(", ", names.Select((n, i) => $"{n} {ChartNumber.Short(x.Values[i]?.Value)}"))}."))}";

    private static ReportTable Numbers(string stem, string title, string unit, EvaluationSamples s, (string Name, Func<RequestRecord, double?> Of)[] series) => new(stem + "-numbers", title, "",
        [new("prompt", false), new("", false), new("samples"), new("mean"), new("std"), new("median"), new("least"), new("most")],
        [.. s.Types.SelectMany(t => series.Select(x => (Type: t, x.Name, Values: s.Values(t, x.Of)))).Where(r => r.Values.Length > 0)
            .Select(r => (string[])[EvaluationSamples.Spoken(r.Type), r.Name, ChartNumber.Short(r.Values.Length), .. new[] { r.Values.Average(), EvaluationSamples.Deviation(r.Values), EvaluationSamples.Median(r.Values), r.Values.Min(), r.Values.Max() }.Select(v => ChartNumber.InUnit(v, unit))])]);
}
