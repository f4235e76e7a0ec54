using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Simulation;

/// <summary>How handoffs share a link.</summary>
internal enum LinkSharing
{
    /// <summary>Max-min fair, all at once.</summary>
    Fair,

    /// <summary>One after the other into each decode node.</summary>
    Fifo,
}

/// <summary>A cluster and how it is run. All nodes of a kind are alike; the link of the deployment is that into each decode node.</summary>
internal sealed record SimulationSettings
{
    internal required Deployment Deployment { get; init; }

    internal int PrefillNodes { get; init; } = 1;

    internal int DecodeNodes { get; init; } = 1;

    /// <summary>Bytes per second that all handoffs share in between; infinite for a fabric that never limits.</summary>
    internal double FabricBytesPerSecond { get; init; } = double.PositiveInfinity;

    internal LinkSharing Sharing { get; init; } = LinkSharing.Fair;

    /// <summary>Prefill takes no time, to look at the link alone.</summary>
    internal bool IsPrefillInstant { get; init; }

    /// <summary>Decode takes no time and room for all, to look at the rest alone.</summary>
    internal bool IsDecodeInstant { get; init; }

    /// <summary>Most tokens of one prefill iteration: longer prompts take several, short ones share one.</summary>
    internal int ChunkTokens { get; init; } = 8192;

    /// <summary>Most prompts that share one iteration.</summary>
    internal int MaxPromptsPerIteration { get; init; } = 64;

    /// <summary>Most sequences that a decode node steps together.</summary>
    internal int MaxBatch { get; init; } = 1024;

    /// <summary>Most handoffs that a decode node grants at once.</summary>
    internal int Credits { get; init; } = 1024;

    /// <summary>Tokens that the prefix cache beside the prefill nodes holds; 0 for none.</summary>
    internal long PrefixCacheTokens { get; init; }

    /// <summary>The decode side has cached prefixes as well, so only the rest travels.</summary>
    internal bool DecodeHoldsPrefix { get; init; }

    /// <summary>Mean time between failures of one node; infinite for none.</summary>
    internal double FailureSeconds { get; init; } = double.PositiveInfinity;

    internal double RepairSeconds { get; init; } = 60;

    /// <summary>How often a request may begin again after a failure.</summary>
    internal int MostRestarts { get; init; } = 3;

    internal double FirstTokenSlo { get; init; } = double.PositiveInfinity;

    internal double TokenSlo { get; init; } = double.PositiveInfinity;

    /// <summary>Where the run stops even if requests are on their way.</summary>
    internal double StopSeconds { get; init; } = double.PositiveInfinity;

    internal ulong Seed { get; init; } = 1;
}
