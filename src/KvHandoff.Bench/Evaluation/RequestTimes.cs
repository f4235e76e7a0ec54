namespace KvHandoff.Bench.Evaluation;

/// <summary>The server's <c>time_info</c>, in seconds; what it does not say is null.</summary>
internal sealed record ServerTimes
{
    public double? QueueSeconds { get; init; }

    public double? PromptSeconds { get; init; }

    public double? CompletionSeconds { get; init; }

    public double? TotalSeconds { get; init; }

    /// <summary>Handing the cache over, where the server has such a step.</summary>
    public double? HandoffSeconds { get; init; }

    /// <summary>Total less queue, prompt, completion and handoff: what the server spent and does not name.</summary>
    public double? UnattributedSeconds { get; init; }

    /// <summary>Completion tokens per second of completion time.</summary>
    public double? Throughput { get; init; }

    /// <summary>Null when the server tells nothing of a handoff.</summary>
    public HandoffDetail? Handoff { get; init; }
}

/// <summary>A handoff as the gateway tells it; what it does not tell is null.</summary>
internal sealed record HandoffDetail
{
    /// <summary>Cache bytes.</summary>
    public long? KvBytes { get; init; }

    /// <summary>Of them, bytes that travelled.</summary>
    public long? WireBytes { get; init; }

    /// <summary>From the end of prefill to the verdict: what the handoff adds to the first token.</summary>
    public double? ExposedSeconds { get; init; }

    /// <summary>From the commit to the first token computed from the landed cache.</summary>
    public double? FirstStepSeconds { get; init; }

    /// <summary>From the request's arrival at the gateway until it had the first token: the client's time to the first token less the network.</summary>
    public double? FirstTokenSeconds { get; init; }

    /// <summary>Workers that were tried, the one that answered included.</summary>
    public long? Attempts { get; init; }

    /// <summary>How often the sequence made room for others and came back.</summary>
    public long? Preemptions { get; init; }

    /// <summary>Seconds of each phase (queue, reserve, gather, encode, wire, verify, place, commit ...); they overlap and need not add up.</summary>
    public IReadOnlyDictionary<string, double> Phases { get; init; } = new Dictionary<string, double>();
}

/// <summary>What the client measured of the last attempt, in seconds and tokens per second; null where it cannot be known.</summary>
internal sealed record ClientTimes
{
    /// <summary>Sent until the first event of any kind.</summary>
    public double? FirstChunkSeconds { get; init; }

    /// <summary>Sent until the first event with content.</summary>
    public double? FirstTokenSeconds { get; init; }

    /// <summary>Sent until the second event with content: where a handoff hides behind a first token of prefill.</summary>
    public double? SecondTokenSeconds { get; init; }

    /// <summary>Mean time per token after the first: last less first content over completion tokens less 1.</summary>
    public double? InterTokenSeconds { get; init; }

    /// <summary>Longest time between two events with content.</summary>
    public double? LongestGapSeconds { get; init; }

    /// <summary>Sent until the end of the reply.</summary>
    public double? LatencySeconds { get; init; }

    /// <summary>Due until the end: late sending and all attempts and waits included.</summary>
    public double? ResponseSeconds { get; init; }

    /// <summary>Due until the first attempt was sent: what a busy client added.</summary>
    public double? ScheduleDelaySeconds { get; init; }

    /// <summary>All waits between attempts.</summary>
    public double? RetryWaitSeconds { get; init; }

    /// <summary>Tokens per second and user: completion tokens less 1 over last less first content.</summary>
    public double? OutputSpeed { get; init; }

    /// <summary>Latency less the server's total.</summary>
    public double? NetworkOverheadSeconds { get; init; }

    /// <summary>The same in percent of the server's total.</summary>
    public double? NetworkOverheadPercent { get; init; }
}
