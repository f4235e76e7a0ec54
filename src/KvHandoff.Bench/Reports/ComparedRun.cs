using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>What is compared: samples of one metric, of one kind of request under one load, or of one transfer.</summary>
/// <param name="Load">Load and route, or "transfers", "prompts".</param>
/// <param name="Stage">Prompt type or "all"; what was transferred.</param>
/// <param name="Metric">Name.</param>
internal sealed record ComparedKey(string Load, string Stage, string Metric);

/// <summary>Raw samples in ascending order, with their unit.</summary>
internal sealed record ComparedSamples(string Unit, bool IsMoreBetter, double[] Values);

/// <summary>One run as <c>compare</c> sees it.</summary>
/// <param name="Name">Of its file, as short as is distinct.</param>
/// <param name="Command">"evaluate" or "handoff".</param>
/// <param name="About">Where it comes from.</param>
/// <param name="Conditions">What should be equal in runs that are compared.</param>
/// <param name="Samples">By key.</param>
internal sealed record ComparedRun(string Name, string Command, string About, IReadOnlyDictionary<string, string> Conditions, IReadOnlyDictionary<ComparedKey, ComparedSamples> Samples)
{
    /// <summary>The load of a run that has one alone: it is compared with another run's only load whatever they are called.</summary>
    private const string Only = "the only load";

    /// <exception cref="InvalidDataException">It is of another command, or cannot be read.</exception>
    internal static ComparedRun Read(string name, string json) => ResultPages.CommandOf(json) switch
    {
        EvaluationSummary.CommandName => Of(name, ResultPages.Read(json, EvaluationSummary.FromJson)),
        "handoff" => Of(name, ResultPages.Read(json, Summary.FromJson)),
        string other => throw new InvalidDataException($"it is of the command '{other}'; compare takes {EvaluationSummary.CommandName} and handoff."),
    };

    internal static ComparedRun Of(string name, EvaluationSummary s)
    {
        var samples = new Dictionary<ComparedKey, ComparedSamples>();
        for (int i = 0; i < s.Loads.Count; i++)
        {
            EvaluationSamples load = EvaluationSamples.Of(s, i);
            foreach (string type in (string[])[EvaluationSamples.All, .. load.Types])
            {
                foreach (SampleMetric metric in EvaluationSamples.Metrics)
                {
                    double[] values = [.. load.Values(type, metric.Of).Order()];
                    if (values.Length > 0) samples.TryAdd(new ComparedKey(s.Loads.Count == 1 ? Only : load.Title, type, metric.Name), new ComparedSamples(metric.Unit, metric.IsMoreBetter, values));
                }
            }
        }

        return new ComparedRun(name, s.Command, $"{s.Config.Model} at {s.Config.Endpoint}, {string.Join("; ", s.Loads.Select(l => $"{l.Name} ({l.Route})"))}, {s.Run.StartedAt}, KvHandoff {s.Environment.Version} on {s.Environment.Cpu}", new Dictionary<string, string>
        {
            ["model"] = s.Config.Model,
            ["endpoint"] = s.Config.Endpoint,
            ["prompts"] = s.Config.PromptSetSha256 ?? "",
            ["loads"] = string.Join("; ", s.Loads.Select(l => l.Name).Distinct()),
            ["client's processor"] = $"{s.Environment.Cpu}, {s.Environment.Cores} cores",
            ["temperature"] = s.Config.Temperature?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "",
            ["client"] = s.Loads.Any(l => l.Client.Saturated) ? "saturated" : "not saturated",
        }, samples);
    }

    internal static ComparedRun Of(string name, Summary s)
    {
        var samples = new Dictionary<ComparedKey, ComparedSamples>();
        foreach (TransferRow t in s.Transfers)
        {
            double[] seconds = [.. (t.SecondsSamples.Count > 0 ? t.SecondsSamples : [t.Seconds]).Where(v => double.IsFinite(v) && v > 0).Order()];
            if (seconds.Length == 0) continue;
            string stage = System.FormattableString.Invariant($"{t.Model}, {t.Tokens} tokens, {t.Codec} over {t.Transport}{(t.Streams == 1 ? "" : $", {t.Streams} streams")}");
            samples.TryAdd(new ComparedKey("transfers", stage, "seconds"), new ComparedSamples(MetricNames.Seconds, false, seconds));
            samples.TryAdd(new ComparedKey("transfers", stage, "gbps"), new ComparedSamples("GB/s", true, [.. seconds.Select(v => t.KvBytes / v / 1e9).Order()]));
        }

        foreach (PromptRow p in s.Reference?.Prompts ?? [])
        {
            samples.TryAdd(new ComparedKey("prompts", p.Name, MetricNames.FirstToken), new ComparedSamples(MetricNames.Seconds, false, [p.TtftMs / 1e3]));
            samples.TryAdd(new ComparedKey("prompts", p.Name, MetricNames.HandoffExposed), new ComparedSamples(MetricNames.Seconds, false, [p.Handoff.ExposedSeconds]));
            samples.TryAdd(new ComparedKey("prompts", p.Name, MetricNames.InterToken), new ComparedSamples(MetricNames.Seconds, false, [p.TpotMs / 1e3]));
        }

        return new ComparedRun(name, s.Command, $"handoff job, {s.Environment.Time}, KvHandoff {s.Environment.Version} on {s.Environment.Cpu}", new Dictionary<string, string> { ["processor"] = $"{s.Environment.Cpu}, {s.Environment.Cores} cores, {s.Environment.Isa}", [".NET"] = s.Environment.Dotnet }, samples);
    }
}
