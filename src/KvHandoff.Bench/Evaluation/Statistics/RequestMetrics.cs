namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>The samples that a request gives: what each metric is, in one table.</summary>
internal static class RequestMetrics
{
    private static readonly (string Name, string Unit, Func<RequestRecord, double?> Of)[] Single =
    [
        (MetricNames.FirstChunk, MetricNames.Seconds, r => r.Client.FirstChunkSeconds),
        (MetricNames.FirstToken, MetricNames.Seconds, r => r.Client.FirstTokenSeconds),
        (MetricNames.SecondToken, MetricNames.Seconds, r => r.Client.SecondTokenSeconds),
        (MetricNames.InterToken, MetricNames.Seconds, r => r.Client.InterTokenSeconds),
        (MetricNames.LongestGap, MetricNames.Seconds, r => r.Client.LongestGapSeconds),
        (MetricNames.Latency, MetricNames.Seconds, r => r.Client.LatencySeconds),
        (MetricNames.Response, MetricNames.Seconds, r => r.Client.ResponseSeconds),
        (MetricNames.ScheduleDelay, MetricNames.Seconds, r => r.Client.ScheduleDelaySeconds),
        (MetricNames.RetryWait, MetricNames.Seconds, r => r.Client.RetryWaitSeconds),
        (MetricNames.OutputSpeed, MetricNames.TokensPerSecond, r => r.Client.OutputSpeed),
        (MetricNames.NetworkOverhead, MetricNames.Seconds, r => r.Client.NetworkOverheadSeconds),
        (MetricNames.NetworkOverheadPercent, MetricNames.Percent, r => r.Client.NetworkOverheadPercent),
        (MetricNames.ServerQueue, MetricNames.Seconds, r => r.Server?.QueueSeconds),
        (MetricNames.ServerPrompt, MetricNames.Seconds, r => r.Server?.PromptSeconds),
        (MetricNames.ServerCompletion, MetricNames.Seconds, r => r.Server?.CompletionSeconds),
        (MetricNames.ServerTotal, MetricNames.Seconds, r => r.Server?.TotalSeconds),
        (MetricNames.ServerHandoff, MetricNames.Seconds, r => r.Server?.HandoffSeconds),
        (MetricNames.ServerUnattributed, MetricNames.Seconds, r => r.Server?.UnattributedSeconds),
        (MetricNames.ServerThroughput, MetricNames.TokensPerSecond, r => r.Server?.Throughput),
        (MetricNames.PromptTokens, MetricNames.Tokens, r => r.PromptTokens),
        (MetricNames.CompletionTokens, MetricNames.Tokens, r => r.CompletionTokens),
        (MetricNames.TotalTokens, MetricNames.Tokens, r => r.TotalTokens),
        (MetricNames.CachedTokens, MetricNames.Tokens, r => r.CachedTokens),
        (MetricNames.HandoffExposed, MetricNames.Seconds, r => r.Server?.Handoff?.ExposedSeconds),
        (MetricNames.HandoffFirstStep, MetricNames.Seconds, r => r.Server?.Handoff?.FirstStepSeconds),
        (MetricNames.ServerFirstToken, MetricNames.Seconds, r => r.Server?.Handoff?.FirstTokenSeconds),
        // What remains of the client's time to the first token when all that a disaggregated server has to do for it is taken off.
        (MetricNames.FirstTokenOverhead, MetricNames.Seconds, r => r.Server is { Handoff: { } handoff } s ? r.Client.FirstTokenSeconds - s.QueueSeconds - s.PromptSeconds - s.HandoffSeconds - handoff.FirstStepSeconds : null),
        (MetricNames.Preemptions, MetricNames.Count, r => r.Server?.Handoff?.Preemptions),
        (MetricNames.HandoffKvBytes, MetricNames.Bytes, r => r.Server?.Handoff?.KvBytes),
        (MetricNames.HandoffWireBytes, MetricNames.Bytes, r => r.Server?.Handoff?.WireBytes),
    ];

    /// <summary>The one value of a metric that a request has one of; null where it is not known.</summary>
    internal static double? Of(RequestRecord request, string metric) => Single.First(m => m.Name == metric).Of(request);

    internal static string UnitOf(string metric) => Single.First(m => m.Name == metric).Unit;

    /// <summary>Statistics of all metrics that have samples.</summary>
    /// <param name="requests">That succeeded.</param>
    /// <param name="seed">Of the run.</param>
    /// <param name="place">Load and stage, for seeds of their own.</param>
    internal static IReadOnlyDictionary<string, MetricStatistics> Statistics(IReadOnlyList<RequestRecord> requests, ulong seed, string place)
    {
        var metrics = new Dictionary<string, MetricStatistics>(StringComparer.Ordinal);
        void Add(string name, string unit, IEnumerable<double> samples, bool hasIntervals)
        {
            if (SampleStatistics.Of(unit, samples, hasIntervals ? SampleStatistics.SeedOf(seed, place, name) : null) is { } statistics) metrics[name] = statistics;
        }

        foreach ((string name, string unit, Func<RequestRecord, double?> of) in Single) Add(name, unit, requests.Select(of).OfType<double>(), true);
        // Gaps within one reply depend on each other: an interval would claim too much.
        Add(MetricNames.Gap, MetricNames.Seconds, requests.SelectMany(r => r.ContentChunkSeconds.Zip(r.ContentChunkSeconds.Skip(1), (a, b) => b - a)), false);
        foreach (string phase in requests.SelectMany(r => r.Server?.Handoff?.Phases.Keys ?? []).Distinct().Order(StringComparer.Ordinal))
            Add(MetricNames.HandoffPhasePrefix + phase, MetricNames.Seconds, requests.Select(r => r.Server?.Handoff?.Phases is { } phases && phases.TryGetValue(phase, out double seconds) ? seconds : (double?)null).OfType<double>(), true);
        return metrics;
    }
}
