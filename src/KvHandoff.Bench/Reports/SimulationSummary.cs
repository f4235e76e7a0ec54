using System.Text.Json;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of <c>simulate</c>, in the schema and the units of <see cref="Summary"/>; times are seconds, rates per second.</summary>
internal sealed record SimulationSummary : IJobSummary
{
    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "simulate";

    public required string Model { get; init; }

    public required string Prefill { get; init; }

    public required string Decode { get; init; }

    public required string Workload { get; init; }

    public ulong Seed { get; init; }

    public required SimulationRow Run { get; init; }

    /// <summary>Runs with more or fewer prefill nodes, each offered more than it can bear.</summary>
    public IReadOnlyList<SimulationRow> Nodes { get; init; } = [];

    public IReadOnlyList<SimulationRow> Links { get; init; } = [];

    public IReadOnlyList<SimulationRow> Codecs { get; init; } = [];

    /// <summary>What the formulas say of requests of mean size: requests per second that each resource bears.</summary>
    public required SimulationCeilings Ceilings { get; init; }

    /// <summary>Highest rate at which the wanted share of requests meets both objectives; null where it was not searched for.</summary>
    public double? GoodputRequestsPerSecond { get; init; }

    public double ElapsedSeconds { get; init; }

    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => SimulationTables.All(this);
}

internal sealed record SimulationCeilings
{
    public double MeanPromptTokens { get; init; }

    public double MeanOutputTokens { get; init; }

    public double PrefillNode { get; init; }

    public double Link { get; init; }

    public double Memory { get; init; }

    public double Decode { get; init; }

    /// <summary>Prefill nodes until the least of the other three.</summary>
    public double PrefillNodes { get; init; }

    public required string Limit { get; init; }
}

internal sealed record SimulationRow
{
    public required string Name { get; init; }

    public int PrefillNodes { get; init; }

    public int DecodeNodes { get; init; }

    public required string Link { get; init; }

    public required string Codec { get; init; }

    public int Requests { get; init; }

    /// <summary>Arrivals per second.</summary>
    public double OfferedPerSecond { get; init; }

    /// <summary>Completions per second in the later part of the arrivals.</summary>
    public double CompletedPerSecond { get; init; }

    public int Completed { get; init; }

    public int Failed { get; init; }

    public int Rejected { get; init; }

    public int InFlight { get; init; }

    public double WithinObjectives { get; init; }

    public required SimulationTimes FirstToken { get; init; }

    public required SimulationTimes PerToken { get; init; }

    public required SimulationTimes Answer { get; init; }

    /// <summary>Means of what a request goes through, one after the other.</summary>
    public double PrefillWaitSeconds { get; init; }

    public double PrefillSeconds { get; init; }

    /// <summary>From the end of prefill to the commit.</summary>
    public double ExposedSeconds { get; init; }

    public double DecodeSeconds { get; init; }

    /// <summary>From the offer to the grant.</summary>
    public double GrantWaitSeconds { get; init; }

    /// <summary>From the grant to the first byte.</summary>
    public double LinkWaitSeconds { get; init; }

    public double PrefillUtilisation { get; init; }

    public double LinkUtilisation { get; init; }

    public double MemoryUtilisation { get; init; }

    public double DecodeUtilisation { get; init; }

    /// <summary>Of the codec's cores, on the busier side.</summary>
    public double CodecUtilisation { get; init; }

    public double FabricUtilisation { get; init; }

    /// <summary>The resource that was used most.</summary>
    public required string Limit { get; init; }

    public double CachedShare { get; init; }

    public double SentBytes { get; init; }

    public double AbortedBytes { get; init; }

    public int NodeFailures { get; init; }

    public int Restarts { get; init; }

    public double SimulatedSeconds { get; init; }

    public long Events { get; init; }

    public double WallSeconds { get; init; }
}

internal sealed record SimulationTimes
{
    public double Mean { get; init; }

    public double P50 { get; init; }

    public double P90 { get; init; }

    public double P99 { get; init; }
}
