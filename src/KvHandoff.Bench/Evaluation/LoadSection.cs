namespace KvHandoff.Bench.Evaluation;

/// <summary>One load on one route: how much was offered, and what came of it. Warm-up requests count nowhere here.</summary>
internal sealed record LoadSection
{
    /// <summary>Such as "concurrency 4", "rate 2.5/s", "trace conversation.jsonl".</summary>
    public required string Name { get; init; }

    /// <summary>"closed", "poisson" or "trace".</summary>
    public required string Kind { get; init; }

    /// <summary>Of a closed load.</summary>
    public int? Concurrency { get; init; }

    /// <summary>Requests per second offered, of an open load.</summary>
    public double? RatePerSecond { get; init; }

    /// <summary>How much faster than written a trace was replayed.</summary>
    public double? TraceSpeed { get; init; }

    public required string Route { get; init; }

    /// <summary>First request due, seconds from the beginning of the run.</summary>
    public double StartedAt { get; init; }

    public double EndedAt { get; init; }

    /// <summary>Time under this load: of a load in turns the sum of its turns.</summary>
    public double DurationSeconds { get; init; }

    public int Ok { get; init; }

    public int Failed { get; init; }

    public int Cancelled { get; init; }

    public required ThroughputSection Throughput { get; init; }

    /// <summary>Null without objectives.</summary>
    public GoodputSection? Goodput { get; init; }

    public required ClientLoadSection Client { get; init; }

    /// <summary>Requests that failed for good, most frequent first.</summary>
    public IReadOnlyList<ErrorGroup> Errors { get; init; } = [];

    /// <summary>Attempts that failed, whatever became of their requests.</summary>
    public IReadOnlyList<ErrorGroup> AttemptErrors { get; init; } = [];

    /// <summary>Attempts after the first of a request.</summary>
    public int Retries { get; init; }

    /// <summary>All prompt types together, named "all", then each of them.</summary>
    public IReadOnlyList<StageSection> Stages { get; init; } = [];
}

/// <summary>Of requests that succeeded, over the time under load. Null where the server counts no tokens.</summary>
internal sealed record ThroughputSection
{
    public double? RequestsPerSecond { get; init; }

    public double? OutputTokensPerSecond { get; init; }

    public double? TotalTokensPerSecond { get; init; }

    public int PeakConcurrency { get; init; }

    /// <summary>Sum of latencies over the time under load.</summary>
    public double? MeanConcurrency { get; init; }
}

/// <summary>What met the objectives.</summary>
internal sealed record GoodputSection
{
    public double? RequestsPerSecond { get; init; }

    public double? OutputTokensPerSecond { get; init; }

    /// <summary>Of all requests, failed ones included; 0 to 1.</summary>
    public double? Share { get; init; }

    /// <summary>Null without a wanted share.</summary>
    public bool? Met { get; init; }

    /// <summary>Share that met each objective alone, by its name.</summary>
    public IReadOnlyDictionary<string, double> ObjectiveShares { get; init; } = new Dictionary<string, double>();
}

/// <summary>What the load took of the measuring process.</summary>
internal sealed record ClientLoadSection
{
    public double CpuSeconds { get; init; }

    /// <summary>Of one core: above 1 with several threads.</summary>
    public double? CoresUsed { get; init; }

    /// <summary>Share of the machine's cores that the client took, 0 to 1.</summary>
    public double? CpuShare { get; init; }

    public double GcPauseSeconds { get; init; }

    /// <summary>How late the client's own timers were: what a stamp may be late by.</summary>
    public double? TimerDelayP99Seconds { get; init; }

    /// <summary>The client took so much that figures may be its own: read them as bounds.</summary>
    public bool Saturated { get; init; }
}

/// <summary>Failures that are alike.</summary>
internal sealed record ErrorGroup
{
    public required string Label { get; init; }

    public int Count { get; init; }

    /// <summary>Up to five different messages.</summary>
    public IReadOnlyList<string> Messages { get; init; } = [];
}

/// <summary>One prompt type under one load.</summary>
internal sealed record StageSection
{
    /// <summary>Prompt type, or "all".</summary>
    public required string Name { get; init; }

    public int Ok { get; init; }

    public int Failed { get; init; }

    public int Cancelled { get; init; }

    /// <summary>Different texts that came back (by hash): 1 where the endpoint is deterministic and the prompt one.</summary>
    public int DistinctTexts { get; init; }

    /// <summary>By the names of <see cref="MetricNames"/>; of requests that succeeded. A metric without a sample is absent.</summary>
    public IReadOnlyDictionary<string, MetricStatistics> Metrics { get; init; } = new Dictionary<string, MetricStatistics>();
}
