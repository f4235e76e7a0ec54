using System.Globalization;
using System.Text;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>summary.csv in long format: one value a line, for pivot tables and plotting programs.</summary>
internal static class CsvFile
{
    internal const string Name = "summary.csv", Header = "run,load,route,stage,metric,unit,stat,value";

    internal static string Render(EvaluationSummary summary)
    {
        var text = new StringBuilder(Header).Append('\n');
        foreach (LoadSection load in summary.Loads)
        {
            void Row(string stage, string metric, string unit, string stat, double? value)
            {
                if (value is { } number) text.AppendJoin(',', Cell(summary.Run.Id), Cell(load.Name), Cell(load.Route), Cell(stage), Cell(metric), Cell(unit), stat, number.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
            }

            const string All = Statistics.LoadStatistics.AllTypes;
            Row(All, "requests_ok", "1", "count", load.Ok);
            Row(All, "requests_failed", "1", "count", load.Failed);
            Row(All, "requests_cancelled", "1", "count", load.Cancelled);
            Row(All, "retries", "1", "count", load.Retries);
            Row(All, "duration", "s", "value", load.DurationSeconds);
            Row(All, "request_throughput", "req/s", "value", load.Throughput.RequestsPerSecond);
            Row(All, "output_token_throughput", "tok/s", "value", load.Throughput.OutputTokensPerSecond);
            Row(All, "total_token_throughput", "tok/s", "value", load.Throughput.TotalTokensPerSecond);
            Row(All, "goodput", "req/s", "value", load.Goodput?.RequestsPerSecond);
            Row(All, "goodput_share", "1", "value", load.Goodput?.Share);
            foreach (StageSection stage in load.Stages)
            {
                foreach ((string metric, MetricStatistics m) in stage.Metrics)
                {
                    foreach ((string stat, double? value) in Values(m)) Row(stage.Name, metric, m.Unit, stat, value);
                }
            }
        }

        return text.ToString();
    }

    private static IEnumerable<(string Stat, double? Value)> Values(MetricStatistics m) =>
    [
        ("count", m.Count), ("mean", m.Mean), ("std", m.Std), ("min", m.Min), ("max", m.Max),
        ("p1", m.P1), ("p5", m.P5), ("p10", m.P10), ("p25", m.P25), ("p50", m.P50), ("p75", m.P75), ("p90", m.P90), ("p95", m.P95), ("p99", m.P99), ("p99.9", m.P999),
        ("mean_ci95_low", m.MeanCi95?.Low), ("mean_ci95_high", m.MeanCi95?.High), ("p50_ci95_low", m.P50Ci95?.Low), ("p50_ci95_high", m.P50Ci95?.High),
        ("p90_ci95_low", m.P90Ci95?.Low), ("p90_ci95_high", m.P90Ci95?.High), ("p99_ci95_low", m.P99Ci95?.Low), ("p99_ci95_high", m.P99Ci95?.High),
    ];

    private static string Cell(string text) => text.AsSpan().IndexOfAny(",\"\n\r") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}
