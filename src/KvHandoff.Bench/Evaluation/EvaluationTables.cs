using System.Globalization;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation;

/// <summary>The tables of an evaluation, for terminal, Markdown and page.</summary>
internal static class EvaluationTables
{
    private const string Unknown = "-";

    internal static IEnumerable<ReportTable> All(EvaluationSummary summary)
    {
        yield return Loads(summary);
        yield return Client(summary);
        if (summary.Loads.Any(l => l.Stages.Any(s => s.Metrics.ContainsKey(MetricNames.ServerTotal)))) yield return Server(summary);
        yield return Tokens(summary);
        if (summary.Baseline is { } baseline) yield return Baseline(baseline);
        if (summary.Loads.Any(l => l.AttemptErrors.Count > 0)) yield return Errors(summary);
    }

    /// <summary>The most needed columns, for terminals that have no room for all; everything is in report.md.</summary>
    internal static IEnumerable<ReportTable> Narrow(EvaluationSummary summary)
    {
        foreach (LoadSection load in summary.Loads)
        {
            yield return new ReportTable("load", $"{Findings.Name(load)}: {N(load.Ok)} ok, {N(load.Failed)} failed, {F(load.Throughput.RequestsPerSecond, "0.00")} req/s, {F(load.Throughput.OutputTokensPerSecond, "0.0")} tok/s", "",
                [new("medians", false), new("n"), new("TTFT ms"), new("ITL ms"), new("tok/s"), new("latency s")],
                [.. load.Stages.Select(s => (string[])[s.Name, N(s.Ok), Ms(s.Metrics, MetricNames.FirstToken, m => m.P50), Ms(s.Metrics, MetricNames.InterToken, m => m.P50), Of(s.Metrics, MetricNames.OutputSpeed, m => m.P50, "0.0"), Of(s.Metrics, MetricNames.Latency, m => m.P50, "0.000")])]);
            if (load.AttemptErrors.Count > 0) yield return new ReportTable("errors", "Errors", "", [new("error", false), new("attempts")], [.. load.AttemptErrors.Select(e => (string[])[e.Label, N(e.Count)])]);
        }

        if (summary.Baseline is not { } baseline) yield break;
        ReportTable all = Baseline(baseline);
        // Metric, both medians, the difference in percent, the verdict.
        int[] kept = [2, 3, 4, 6, 8];
        yield return all with { Columns = [.. kept.Select(i => all.Columns[i])], Rows = [.. all.Rows.Where(r => r[1] == Statistics.LoadStatistics.AllTypes).Select(r => (string[])[.. kept.Select(i => r[i])])] };
    }

    private static ReportTable Loads(EvaluationSummary summary) => new("loads", "Loads", "Requests that succeeded over the time under load; times are of the last attempt, waits for rate limits stand apart. Goodput counts requests within all objectives.",
        [new("load", false), new("ok"), new("failed"), new("retries"), new("req/s"), new("output tok/s"), new("in flight"), new("TTFT p50 ms"), new("p99"), new("ITL p50 ms"), new("p99"), new("latency p50 s"), new("p99"), new("goodput req/s"), new("within"), new("client CPU")],
        [.. summary.Loads.Select(l =>
        {
            IReadOnlyDictionary<string, MetricStatistics> m = l.Stages.Count > 0 ? l.Stages[0].Metrics : new Dictionary<string, MetricStatistics>();
            return (string[])[Findings.Name(l), N(l.Ok), N(l.Failed), N(l.Retries), F(l.Throughput.RequestsPerSecond, "0.00"), F(l.Throughput.OutputTokensPerSecond, "0.0"), F(l.Throughput.MeanConcurrency, "0.0"),
                Ms(m, MetricNames.FirstToken, s => s.P50), Ms(m, MetricNames.FirstToken, s => s.P99), Ms(m, MetricNames.InterToken, s => s.P50), Ms(m, MetricNames.InterToken, s => s.P99), Of(m, MetricNames.Latency, s => s.P50, "0.000"), Of(m, MetricNames.Latency, s => s.P99, "0.000"),
                F(l.Goodput?.RequestsPerSecond, "0.00"), F(l.Goodput?.Share * 100, "0.0") is var share && share == Unknown ? share : share + " %", (l.Client.CpuShare is { } cpu ? F(cpu * 100, "0") + " %" : Unknown) + (l.Client.Saturated ? " BUSY" : "")];
        })]);

    private static ReportTable Client(EvaluationSummary summary) => new("client", "What the client saw", "Medians, with the 95 % interval of the median latency. TTFC: first event of any kind; TTFT: first with content; TTST: second with content; ITL: time per token after the first; speed: tokens per second of one user. Overhead: latency less the server's total.",
        [new("load", false), new("prompt type", false), new("n"), new("TTFC ms"), new("TTFT ms"), new("p90"), new("TTST ms"), new("ITL ms"), new("speed tok/s"), new("latency s"), new("95 % CI"), new("overhead ms"), new("overhead"), new("retry wait s"), new("texts")],
        [.. Stages(summary).Select(x =>
        {
            IReadOnlyDictionary<string, MetricStatistics> m = x.Stage.Metrics;
            string interval = m.TryGetValue(MetricNames.Latency, out MetricStatistics? latency) && latency.P50Ci95 is { } ci ? $"{F(ci.Low, "0.000")}-{F(ci.High, "0.000")}" : Unknown, percent = Of(m, MetricNames.NetworkOverheadPercent, s => s.P50, "0.#");
            return (string[])[Findings.Name(x.Load), x.Stage.Name, N(x.Stage.Ok), Ms(m, MetricNames.FirstChunk, s => s.P50), Ms(m, MetricNames.FirstToken, s => s.P50), Ms(m, MetricNames.FirstToken, s => s.P90), Ms(m, MetricNames.SecondToken, s => s.P50), Ms(m, MetricNames.InterToken, s => s.P50),
                Of(m, MetricNames.OutputSpeed, s => s.P50, "0.0"), Of(m, MetricNames.Latency, s => s.P50, "0.000"), interval, Ms(m, MetricNames.NetworkOverhead, s => s.P50), percent == Unknown ? percent : percent + " %", Of(m, MetricNames.RetryWait, s => s.Mean, "0.0"), N(x.Stage.DistinctTexts)];
        })]);

    private static ReportTable Server(EvaluationSummary summary) => new("server", "What the server says of itself", "Medians of time_info, in ms. Rest: the server's total less all that it names. Throughput: completion tokens per second of completion time. TTFT rest: the client's time to the first token less queue, prompt, handoff and first step.",
        [new("load", false), new("prompt type", false), new("queue"), new("prompt"), new("handoff"), new("completion"), new("rest"), new("total"), new("throughput tok/s"), new("exposed handoff"), new("first step"), new("TTFT rest")],
        [.. Stages(summary).Select(x =>
        {
            IReadOnlyDictionary<string, MetricStatistics> m = x.Stage.Metrics;
            string P50(string metric) => Ms(m, metric, s => s.P50);
            return (string[])[Findings.Name(x.Load), x.Stage.Name, P50(MetricNames.ServerQueue), P50(MetricNames.ServerPrompt), P50(MetricNames.ServerHandoff), P50(MetricNames.ServerCompletion), P50(MetricNames.ServerUnattributed), P50(MetricNames.ServerTotal), Of(m, MetricNames.ServerThroughput, s => s.P50, "0.0"), P50(MetricNames.HandoffExposed), P50(MetricNames.HandoffFirstStep), P50(MetricNames.FirstTokenOverhead)];
        })]);

    private static ReportTable Tokens(EvaluationSummary summary) => new("tokens", "Tokens", "Means, as the server counts them in usage. Cached: prompt tokens that the server had already.",
        [new("load", false), new("prompt type", false), new("prompt"), new("cached"), new("completion"), new("total")],
        [.. Stages(summary).Where(x => x.Stage.Name != Statistics.LoadStatistics.AllTypes).Select(x =>
        {
            string Mean(string metric) => Of(x.Stage.Metrics, metric, s => s.Mean, "0.#");
            return (string[])[Findings.Name(x.Load), x.Stage.Name, Mean(MetricNames.PromptTokens), Mean(MetricNames.CachedTokens), Mean(MetricNames.CompletionTokens), Mean(MetricNames.TotalTokens)];
        })]);

    private static ReportTable Baseline(BaselineSection baseline) => new("baseline", "Disaggregated against monolithic",
        $"Medians of the same requests over both routes, in {N(baseline.Turns)} turns each. Difference: disaggregated less monolithic, with its bootstrap interval of 95 %; a gain or a loss is said where that leaves 0 out. " +
        (baseline.Texts.Compared ? $"{baseline.Texts.Equal} of {baseline.Texts.Prompts} prompts have one and the same text on both routes." : "Texts are compared at temperature 0 only."),
        [new("load", false), new("prompt type", false), new("metric", false), new("disaggregated"), new("monolithic"), new("difference"), new("%"), new("95 % CI"), new("", false)],
        [.. baseline.Rows.Where(r => r.Statistic == "p50").Select(r =>
        {
            (double scale, string unit) = r.Unit == MetricNames.Seconds ? (1e3, "ms") : (1, r.Unit);
            return (string[])[r.Load, r.Stage, $"{r.Metric}, {unit}", F(r.Disaggregated * scale, "0.00"), F(r.Monolithic * scale, "0.00"), F(r.Difference * scale, "+0.00;-0.00;0"), F(r.DifferencePercent, "+0.0;-0.0;0"),
                r.DifferenceCi95 is { } ci ? $"{F(ci.Low * scale, "0.00")} to {F(ci.High * scale, "0.00")}" : Unknown, r.Verdict];
        })]);

    private static ReportTable Errors(EvaluationSummary summary) => new("errors", "Errors", "Attempts that failed, and requests that failed for good. Neither is part of any latency or throughput.",
        [new("load", false), new("error", false), new("attempts"), new("requests"), new("message", false)],
        [.. summary.Loads.SelectMany(l => l.AttemptErrors.Select(g => (string[])[Findings.Name(l), g.Label, N(g.Count), N(l.Errors.FirstOrDefault(e => e.Label == g.Label)?.Count ?? 0), g.Messages.Count > 0 ? Short(g.Messages[0]) : ""]))]);

    private static IEnumerable<(LoadSection Load, StageSection Stage)> Stages(EvaluationSummary summary) => summary.Loads.SelectMany(l => l.Stages.Select(s => (l, s)));

    private static string Of(IReadOnlyDictionary<string, MetricStatistics> metrics, string name, Func<MetricStatistics, double> of, string format) => metrics.TryGetValue(name, out MetricStatistics? m) ? F(of(m), format) : Unknown;

    private static string Ms(IReadOnlyDictionary<string, MetricStatistics> metrics, string name, Func<MetricStatistics, double> of) => Of(metrics, name, m => of(m) * 1e3, "0.00");

    private static string F(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? Unknown;

    private static string N(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Short(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
