namespace KvHandoff.Gateway.Contracts;

/// <summary>
/// How tokens are chosen. Temperature 0 takes the likeliest; above it, the random number of token i depends on the seed and i alone, so that
/// every route and batch draws the same.
/// </summary>
internal sealed record SamplingOptions(double Temperature = 0, double TopP = 1, ulong Seed = 0);

/// <summary>To a prefill worker: compute the cache of a prompt and hand it over.</summary>
internal sealed record PrefillRequest
{
    /// <summary>Id of the client's request; in logs, traces and the offer.</summary>
    public required string RequestId { get; init; }

    /// <summary>The handoff; a retry has another.</summary>
    public required Guid HandoffId { get; init; }

    /// <summary>Name and endpoint of the decode worker.</summary>
    public required string TargetName { get; init; }

    /// <inheritdoc cref="TargetName"/>
    public required string TargetEndpoint { get; init; }

    /// <summary>The signed ticket.</summary>
    public required byte[] Ticket { get; init; }

    /// <summary>Tokens of the prompt, 1 or more.</summary>
    public required int[] Prompt { get; init; }

    /// <summary>How the first token is chosen.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>Higher goes first where requests wait.</summary>
    public int Priority { get; init; }

    /// <summary>After this the handoff expires.</summary>
    public required int DeadlineMilliseconds { get; init; }
}

/// <summary>What a prefill took.</summary>
/// <param name="QueueSeconds">Until the prompt's first chunk was started.</param>
/// <param name="PromptSeconds">Computing; without waiting.</param>
/// <param name="CachedTokens">Prompt tokens whose rows were there already.</param>
/// <param name="KvBytes">Bytes of cache of the handoff.</param>
/// <param name="WireBytes">Of them, bytes that travelled.</param>
/// <param name="ExposedSeconds">From the end of computing to the receiver's verdict.</param>
/// <param name="Phases">Seconds of each phase of the handoff, by the names of HandoffCost.</param>
internal sealed record PrefillResult(double QueueSeconds, double PromptSeconds, int CachedTokens, long KvBytes, long WireBytes, double ExposedSeconds, IReadOnlyDictionary<string, double> Phases);

/// <summary>To a decode worker: generate from the cache that this handoff brings.</summary>
internal sealed record DecodeRequest
{
    /// <inheritdoc cref="PrefillRequest.RequestId"/>
    public required string RequestId { get; init; }

    /// <inheritdoc cref="PrefillRequest.HandoffId"/>
    public required Guid HandoffId { get; init; }

    /// <summary>Tokens to generate at most, the first included; 1 or more.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Token sequences that end the text; they are not part of it.</summary>
    public int[][] Stop { get; init; } = [];

    /// <summary>How tokens are chosen.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <inheritdoc cref="PrefillRequest.Priority"/>
    public int Priority { get; init; }

    /// <inheritdoc cref="PrefillRequest.DeadlineMilliseconds"/>
    public required int DeadlineMilliseconds { get; init; }
}

/// <summary>To a worker that runs both phases.</summary>
internal sealed record GenerateRequest
{
    /// <inheritdoc cref="PrefillRequest.RequestId"/>
    public required string RequestId { get; init; }

    /// <inheritdoc cref="PrefillRequest.Prompt"/>
    public required int[] Prompt { get; init; }

    /// <inheritdoc cref="DecodeRequest.MaxTokens"/>
    public required int MaxTokens { get; init; }

    /// <inheritdoc cref="DecodeRequest.Stop"/>
    public int[][] Stop { get; init; } = [];

    /// <inheritdoc cref="DecodeRequest.Sampling"/>
    public required SamplingOptions Sampling { get; init; }

    /// <inheritdoc cref="PrefillRequest.Priority"/>
    public int Priority { get; init; }
}
