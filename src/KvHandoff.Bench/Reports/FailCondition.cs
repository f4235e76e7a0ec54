using System.Globalization;
using System.Text.RegularExpressions;
using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// A condition of --fail-on, such as "ttft_ms:p50>10%": fails when the statistic of another run lies so much above the first run's; with "&lt;" so much below;
/// without "%" when it passes the value itself. "@" names a prompt type or transfer; without it requests count all together, and every transfer or prompt by itself.
/// </summary>
internal sealed partial record FailCondition(string Text, string Metric, string Statistic, string? Stage, bool IsAbove, double Limit, bool IsPercent)
{
    internal const string Allowed = "METRIC:STATISTIC[@PROMPT]>NUMBER[%], such as ttft_ms:p50>10%, e2e_ms:p99>2000, output_speed:mean<-5%, or for transfers seconds:p50>10%";

    // Short names with a unit, as benchmark tools use them: metric and seconds per unit.
    private static readonly Dictionary<string, (string Metric, double Unit)> Aliases = new()
    {
        ["ttft_ms"] = (MetricNames.FirstToken, 1e-3),
        ["ttfc_ms"] = (MetricNames.FirstChunk, 1e-3),
        ["ttst_ms"] = (MetricNames.SecondToken, 1e-3),
        ["tpot_ms"] = (MetricNames.InterToken, 1e-3),
        ["itl_ms"] = (MetricNames.InterToken, 1e-3),
        ["e2e_ms"] = (MetricNames.Latency, 1e-3),
        ["response_ms"] = (MetricNames.Response, 1e-3),
        ["exposed_ms"] = (MetricNames.HandoffExposed, 1e-3),
        ["seconds"] = ("seconds", 1),
        ["gbps"] = ("gbps", 1),
    };

    /// <summary>Null when the text is no condition.</summary>
    internal static FailCondition? Parse(string text)
    {
        Match match = Form().Match(text);
        if (!match.Success || !double.TryParse(match.Groups["limit"].ValueSpan, NumberStyles.Float, CultureInfo.InvariantCulture, out double limit) || !double.IsFinite(limit)) return null;
        string name = match.Groups["metric"].Value, statistic = match.Groups["statistic"].Success ? match.Groups["statistic"].Value : "p50";
        (string Metric, double Unit) metric = Aliases.TryGetValue(name, out (string, double) alias) ? alias : (name, 1);
        if (!Aliases.ContainsKey(name) && EvaluationSamples.Metrics.All(m => m.Name != name) || DifferenceBootstrap.Statistic(statistic) is null) return null;
        bool isPercent = match.Groups["percent"].Success;
        return new FailCondition(text, metric.Metric, statistic, match.Groups["stage"].Success ? match.Groups["stage"].Value : null, match.Groups["sign"].Value == ">", isPercent ? limit : limit * metric.Unit, isPercent);
    }

    /// <summary>What fails, in words; also when no run has the metric: a gate that measures nothing must not pass.</summary>
    internal IEnumerable<string> Failures(IReadOnlyList<ComparedRun> runs)
    {
        Func<double[], double> of = DifferenceBootstrap.Statistic(Statistic)!;
        foreach (ComparedRun other in runs.Skip(1))
        {
            ComparedKey[] keys = [.. runs[0].Samples.Keys.Where(k => k.Metric == Metric && (Stage is null ? k.Stage == EvaluationSamples.All || k.Load is "transfers" or "prompts" : k.Stage == Stage) && other.Samples.ContainsKey(k))];
            if (keys.Length == 0) yield return $"{Text}: neither '{runs[0].Name}' nor '{other.Name}' could be judged, for they do not both have this metric.";
            foreach (ComparedKey key in keys)
            {
                double a = of(runs[0].Samples[key].Values), b = of(other.Samples[key].Values), value = IsPercent ? (b - a) / Math.Abs(a) * 100 : b;
                if (IsAbove ? !(value > Limit) : !(value < Limit)) continue;
                string unit = runs[0].Samples[key].Unit;
                yield return $"{Text}: {other.Name} has {ChartNumber.InUnit(b, unit)}, {runs[0].Name} {ChartNumber.InUnit(a, unit)} ({ChartNumber.Percent((b - a) / Math.Abs(a) * 100)}), {key.Load}, {EvaluationSamples.Spoken(key.Stage)}.";
            }
        }
    }

    [GeneratedRegex(@"^(?<metric>[a-z0-9_]{1,60})(:(?<statistic>mean|p[0-9]{1,2}(\.[0-9]{1,3})?|p100))?(@(?<stage>[^<>]{1,120}))?(?<sign>[<>])(?<limit>-?[0-9.]{1,20})(?<percent>%)?$", RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
