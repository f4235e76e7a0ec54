namespace KvHandoff.Bench.Evaluation;

/// <summary>One start of the program.</summary>
internal sealed record RunSection
{
    /// <summary>Time and random digits: the same for all files of the run.</summary>
    public required string Id { get; init; }

    /// <summary>Wall clock at second 0 of all times of the run, ISO 8601, UTC.</summary>
    public required string StartedAt { get; init; }

    /// <summary>The same in nanoseconds since 1970.</summary>
    public long StartedAtUnixNanoseconds { get; init; }

    /// <summary>As typed, without the program; a key is never part of it.</summary>
    public required string CommandLine { get; init; }

    /// <summary>Of everything random: order, arrivals, jitter, resampling.</summary>
    public ulong Seed { get; init; }

    /// <summary>Interrupted: the figures are of what had ended by then.</summary>
    public bool WasCancelled { get; init; }

    /// <summary>Ticks per second of the clock that stamps arrivals.</summary>
    public long ClockTicksPerSecond { get; init; }
}

/// <summary>What was asked of the endpoint, and how.</summary>
internal sealed record ConfigSection
{
    /// <summary>Base address, without user information and query.</summary>
    public required string Endpoint { get; init; }

    public required string Model { get; init; }

    /// <summary>"asked" or "listed": given on the command line, or the first of /v1/models.</summary>
    public string ModelSource { get; init; } = "asked";

    /// <summary>Name of the variable that the key came from; null when none was sent.</summary>
    public string? ApiKeyVariable { get; init; }

    public bool Stream { get; init; }

    public double? Temperature { get; init; }

    /// <summary>"reference" or "chat".</summary>
    public string? PromptSet { get; init; }

    /// <summary>Every prompt began with seed, load and iteration, so that no prefix cache had it.</summary>
    public bool FreshPrompts { get; init; }

    /// <summary>How long the texts for a trace's tokens are; null without a trace.</summary>
    public double? BytesPerToken { get; init; }

    /// <summary>Measured requests per prompt type and load; a trace has its own.</summary>
    public int Iterations { get; init; }

    public int WarmUpPerType { get; init; }

    public double TimeoutSeconds { get; init; }

    /// <summary>Attempts per request at most, the first included.</summary>
    public int MaxAttempts { get; init; }

    /// <summary>All waits between attempts of one request together at most.</summary>
    public double MaxRetryWaitSeconds { get; init; }

    /// <summary>The original study's definitions and files were asked for.</summary>
    public bool SeedCompat { get; init; }

    /// <summary>SHA-256 over names and hashes of the prompts in their order: equal in comparable runs.</summary>
    public string? PromptSetSha256 { get; init; }
}

/// <summary>One of the fixed texts.</summary>
internal sealed record PromptSection
{
    public required string Type { get; init; }

    public required string Sha256 { get; init; }

    public int Bytes { get; init; }

    /// <summary>Most tokens asked for; null where the request names none.</summary>
    public int? MaxCompletionTokens { get; init; }
}

/// <summary>Objectives of a request and the share that has to meet all of them.</summary>
internal sealed record SloSection
{
    public IReadOnlyList<SloObjective> Objectives { get; init; } = [];

    /// <summary>0 to 1; below it the exit code is 1. Null: only counted.</summary>
    public double? WantedShare { get; init; }

    /// <summary>Of every load; null without a wanted share.</summary>
    public bool? Met { get; init; }
}

/// <param name="Name">As on the command line: ttfc, ttft, ttst, itl, e2e, response.</param>
/// <param name="Metric">Name of the metric that has to stay at or below the limit.</param>
/// <param name="LimitSeconds">The limit.</param>
internal sealed record SloObjective(string Name, string Metric, double LimitSeconds);
