using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;
using Routes = KvHandoff.Bench.Evaluation.BaselineSection;

namespace KvHandoff.Bench.Reports;

/// <summary>A metric of one request, as charts name it.</summary>
internal sealed record SampleMetric(string Name, string Title, string Unit, bool IsMoreBetter, Func<RequestRecord, double?> Of);

/// <summary>The raw samples of one load: what charts are drawn from. Warm-up and failed requests are no samples.</summary>
internal sealed class EvaluationSamples
{
    internal const string All = "all";

    private EvaluationSamples(LoadSection load, RequestRecord[] measured)
    {
        Load = load;
        Measured = measured;
        Ok = [.. measured.Where(r => r.Outcome == "ok")];
        string[] named = [.. load.Stages.Select(s => s.Name).Where(n => n != All), .. measured.Select(r => r.PromptType)];
        Types = [.. named.Distinct()];
    }

    internal static IReadOnlyList<SampleMetric> Metrics { get; } =
    [
        new(MetricNames.FirstToken, "time to first token", MetricNames.Seconds, false, r => r.Client.FirstTokenSeconds),
        new(MetricNames.InterToken, "time per token", MetricNames.Seconds, false, r => r.Client.InterTokenSeconds),
        new(MetricNames.Latency, "latency", MetricNames.Seconds, false, r => r.Client.LatencySeconds),
        new(MetricNames.FirstChunk, "time to first chunk", MetricNames.Seconds, false, r => r.Client.FirstChunkSeconds),
        new(MetricNames.SecondToken, "time to second token", MetricNames.Seconds, false, r => r.Client.SecondTokenSeconds),
        new(MetricNames.LongestGap, "longest gap", MetricNames.Seconds, false, r => r.Client.LongestGapSeconds),
        new(MetricNames.Response, "response time with retries", MetricNames.Seconds, false, r => r.Client.ResponseSeconds),
        new(MetricNames.OutputSpeed, "output speed", MetricNames.TokensPerSecond, true, r => r.Client.OutputSpeed),
        new(MetricNames.ServerTotal, "server total", MetricNames.Seconds, false, r => r.Server?.TotalSeconds),
        new(MetricNames.ServerQueue, "server queue", MetricNames.Seconds, false, r => r.Server?.QueueSeconds),
        new(MetricNames.ServerPrompt, "server prompt", MetricNames.Seconds, false, r => r.Server?.PromptSeconds),
        new(MetricNames.ServerHandoff, "server handoff", MetricNames.Seconds, false, r => r.Server?.HandoffSeconds),
        new(MetricNames.ServerCompletion, "server completion", MetricNames.Seconds, false, r => r.Server?.CompletionSeconds),
        new(MetricNames.ServerThroughput, "server throughput", MetricNames.TokensPerSecond, true, r => r.Server?.Throughput),
        new(MetricNames.HandoffExposed, "exposed handoff", MetricNames.Seconds, false, Exposed),
        new(MetricNames.NetworkOverhead, "network overhead", MetricNames.Seconds, false, r => r.Client.NetworkOverheadSeconds),
    ];

    internal LoadSection Load { get; }

    /// <summary>Failed ones too.</summary>
    internal IReadOnlyList<RequestRecord> Measured { get; }

    internal IReadOnlyList<RequestRecord> Ok { get; }

    /// <summary>Prompt types in the order of the run.</summary>
    internal IReadOnlyList<string> Types { get; }

    internal string Title => Load.Route == "default" ? Load.Name : $"{Load.Name}, {Load.Route}";

    internal static EvaluationSamples Of(EvaluationSummary summary, int load) => new(summary.Loads[load], [.. summary.Requests.Where(r => r.Load == load && r.Phase == "measured")]);

    /// <summary>The first load that is not the baseline's, and of which something came; null without any load.</summary>
    internal static EvaluationSamples? Leading(EvaluationSummary summary)
    {
        int[] order = [.. Enumerable.Range(0, summary.Loads.Count).OrderBy(i => summary.Loads[i].Route == Routes.Monolithic).ThenBy(i => summary.Loads[i].Ok == 0)];
        return order.Length == 0 ? null : Of(summary, order[0]);
    }

    internal static SampleMetric Metric(string name) => Metrics.First(m => m.Name == name);

    /// <summary>What the handoff added after prefill; null where the server tells nothing of one.</summary>
    internal static double? Exposed(RequestRecord request) => request.Server?.Handoff?.ExposedSeconds ?? request.Server?.HandoffSeconds;

    /// <summary>Finite samples of one prompt type, or of all.</summary>
    internal double[] Values(string type, Func<RequestRecord, double?> of) => [.. Ok.Where(r => type == All || r.PromptType == type).Select(of).OfType<double>().Where(double.IsFinite)];

    internal double[] Values(string type, string metric) => Values(type, Metric(metric).Of);

    /// <summary>"short_input_long_output" as people say it.</summary>
    internal static string Spoken(string type) => type == All ? "all prompts" : type.Replace("_input_", " in, ", StringComparison.Ordinal).Replace("_output", " out", StringComparison.Ordinal).Replace('_', ' ');

    internal static double? Mean(IReadOnlyCollection<double> values) => values.Count == 0 ? null : values.Average();

    internal static double? Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? null : BoxStatistics.Quantile(sorted, 0.5);
    }

    /// <summary>Of the sample (n - 1); null of fewer than two.</summary>
    internal static double? Deviation(IReadOnlyCollection<double> values)
    {
        if (values.Count < 2) return null;
        double mean = values.Average();
        return Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1));
    }
}
