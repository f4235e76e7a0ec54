namespace KvHandoff.Gateway.Contracts;

/// <summary>The phases of a request that a stage or a worker runs.</summary>
[Flags]
internal enum Phase
{
    None = 0,

    /// <summary>Reads the prompt and writes the cache.</summary>
    Prefill = 1,

    /// <summary>Reads the cache for every token.</summary>
    Decode = 2,

    /// <summary>Both, in one worker: no handoff.</summary>
    Both = Prefill | Decode,
}

/// <summary>What a worker does and how full it is.</summary>
internal sealed record WorkerStatus
{
    /// <summary>Name of the worker.</summary>
    public required string Name { get; init; }

    /// <summary>Phases that it runs.</summary>
    public required Phase Phases { get; init; }

    /// <summary>Pool that it belongs to.</summary>
    public required string Pool { get; init; }

    /// <summary>Name of the model, and the hash of its weights.</summary>
    public required string Model { get; init; }

    /// <summary>Hash of the weights: workers of different revisions never share a request.</summary>
    public required string ModelRevision { get; init; }

    /// <summary>Where its receiver listens, "shm:///...", "unix:///...", "tcp://..."; null for one that receives nothing.</summary>
    public string? HandoffEndpoint { get; init; }

    /// <summary>Positions that the model has: prompt and completion together.</summary>
    public required int ContextTokens { get; init; }

    /// <summary>Bytes of KV cache per token: what a ticket has to allow.</summary>
    public required long KvBytesPerToken { get; init; }

    /// <summary>Tokens that its cache holds at most, and the room that is free; blocks that are only kept for reuse count as free.</summary>
    public required long CacheTokens { get; init; }

    /// <inheritdoc cref="CacheTokens"/>
    public required long FreeTokens { get; init; }

    /// <summary>Sequences that it works on.</summary>
    public required int Running { get; init; }

    /// <summary>Requests that wait at it.</summary>
    public required int Waiting { get; init; }

    /// <summary>Sequences that were handed away or computed again because blocks ran out, so far.</summary>
    public long Preemptions { get; init; }

    /// <summary>Prompt tokens that were found in the cache, so far.</summary>
    public long ReusedTokens { get; init; }
}
