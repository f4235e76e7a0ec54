using System.Text.Json;
using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>One statistic of one metric, in the first run and in another one.</summary>
internal sealed record ComparisonRow
{
    public required string Run { get; init; }

    public required string Load { get; init; }

    public required string Stage { get; init; }

    public required string Metric { get; init; }

    public required string Statistic { get; init; }

    public required string Unit { get; init; }

    public double First { get; init; }

    public double Other { get; init; }

    public int FirstSamples { get; init; }

    public int OtherSamples { get; init; }

    /// <summary>The other run less the first.</summary>
    public double Difference { get; init; }

    /// <summary>Of the first run's value; null where that is 0.</summary>
    public double? DifferencePercent { get; init; }

    /// <summary>Bootstrap interval of the difference; null with too few samples.</summary>
    public Interval? DifferenceCi95 { get; init; }

    /// <summary>"gain", "loss", or "none" when the interval holds 0 or is missing.</summary>
    public required string Verdict { get; init; }
}

/// <summary>Several runs against the first of them.</summary>
internal sealed record RunComparison : IJobSummary
{
    private static readonly string[] Statistics = ["mean", "p50", "p90", "p99"];

    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "compare";

    /// <summary>Names of the runs and where they come from; the first is what the others are held against.</summary>
    public IReadOnlyDictionary<string, string> Runs { get; init; } = new Dictionary<string, string>();

    public IReadOnlyList<ComparisonRow> Rows { get; init; } = [];

    /// <summary>What differs between the runs besides their results.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    public double ElapsedSeconds { get; init; }

    /// <summary>Conditions of --fail-on that hold.</summary>
    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => Runs.Keys.Skip(1).Select((run, i) => Table($"differences-{i}", run, Rows.Where(r => r.Run == run && r.Statistic is "p50" or "p90" && IsHeadline(r))));

    /// <exception cref="InvalidDataException">The runs have nothing in common, or are of different commands.</exception>
    internal static RunComparison Of(IReadOnlyList<ComparedRun> runs, IReadOnlyList<FailCondition> conditions)
    {
        var rows = new List<ComparisonRow>();
        foreach (ComparedRun other in runs.Skip(1))
        {
            if (other.Command != runs[0].Command) throw new InvalidDataException($"'{runs[0].Name}' is of {runs[0].Command} and '{other.Name}' of {other.Command}: they measure different things.");
            ComparedKey[] shared = [.. runs[0].Samples.Keys.Where(other.Samples.ContainsKey)];
            if (shared.Length == 0) throw new InvalidDataException($"'{runs[0].Name}' and '{other.Name}' have nothing in common: no load, prompt or transfer is in both.");
            rows.AddRange(shared.SelectMany(k => Statistics.Select(s => Row(other.Name, k, s, runs[0].Samples[k], other.Samples[k]))));
        }

        IEnumerable<string> warnings = runs.Skip(1).SelectMany(o => runs[0].Conditions.Where(c => o.Conditions.GetValueOrDefault(c.Key) != c.Value).Select(c => $"{c.Key} differs: '{c.Value}' in {runs[0].Name}, '{o.Conditions.GetValueOrDefault(c.Key)}' in {o.Name}."));
        return new RunComparison { Runs = runs.ToDictionary(r => r.Name, r => r.About), Rows = rows, Warnings = [.. warnings], Failures = [.. conditions.SelectMany(c => c.Failures(runs))] };
    }

    /// <summary>What a reader looks at first; the rest is in the JSON.</summary>
    internal static bool IsHeadline(ComparisonRow r) => r.Load is "transfers" or "prompts" || r.Metric is MetricNames.FirstToken or MetricNames.InterToken or MetricNames.Latency or MetricNames.OutputSpeed or MetricNames.HandoffExposed;

    internal static string Title(string metric) => EvaluationSamples.Metrics.FirstOrDefault(m => m.Name == metric)?.Title ?? (metric == "gbps" ? "bandwidth" : metric == "seconds" ? "time" : metric);

    internal ReportTable Table(string id, string run, IEnumerable<ComparisonRow> rows) => new(id, $"{run} against {Runs.Keys.First()}", "Differences with bootstrap intervals of 95 %; an interval that holds 0 decides nothing.",
        [new("load", false), new("of", false), new("metric", false), new("", false), new("first"), new("other"), new("difference %"), new("least %"), new("most %"), new("samples"), new("", false)],
        [.. rows.Select(r => (string[])[r.Load, EvaluationSamples.Spoken(r.Stage), Title(r.Metric), r.Statistic, ChartNumber.InUnit(r.First, r.Unit), ChartNumber.InUnit(r.Other, r.Unit), Signed(r.DifferencePercent), Signed(r.DifferenceCi95?.Low / r.First * 100), Signed(r.DifferenceCi95?.High / r.First * 100), $"{r.FirstSamples} / {r.OtherSamples}", r.Verdict])]);

    private static string Signed(double? percent) => (percent > 0 ? "+" : "") + ChartNumber.Short(percent);

    private static ComparisonRow Row(string run, ComparedKey key, string statistic, ComparedSamples first, ComparedSamples other)
    {
        Func<double[], double> of = DifferenceBootstrap.Statistic(statistic)!;
        double a = of(first.Values), b = of(other.Values);
        Interval? range = DifferenceBootstrap.Of(first.Values, other.Values, statistic);
        bool isHigher = range?.Low > 0, isLower = range?.High < 0;
        return new ComparisonRow
        {
            Run = run,
            Load = key.Load,
            Stage = key.Stage,
            Metric = key.Metric,
            Statistic = statistic,
            Unit = first.Unit,
            First = a,
            Other = b,
            FirstSamples = first.Values.Length,
            OtherSamples = other.Values.Length,
            Difference = b - a,
            DifferencePercent = a == 0 ? null : (b - a) / Math.Abs(a) * 100,
            DifferenceCi95 = range,
            Verdict = !isHigher && !isLower ? "none" : isHigher == first.IsMoreBetter ? "gain" : "loss",
        };
    }
}
