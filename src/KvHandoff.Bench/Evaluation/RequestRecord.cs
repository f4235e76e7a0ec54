namespace KvHandoff.Bench.Evaluation;

/// <summary>
/// One request with all its attempts: a line of records.jsonl. Points in time (<c>_at</c>) are seconds from the beginning of the run; client figures are of the
/// last attempt alone, so that a wait for a rate limit is never part of a latency.
/// </summary>
internal sealed record RequestRecord
{
    /// <summary>Sent as x-request-id.</summary>
    public required string Id { get; init; }

    /// <summary>Index into <see cref="EvaluationSummary.Loads"/>.</summary>
    public int Load { get; init; }

    /// <summary>"default", or with a baseline "disaggregated" and "monolithic".</summary>
    public required string Route { get; init; }

    /// <summary>Which turn of the two routes, from 0; 0 without a baseline.</summary>
    public int Turn { get; init; }

    public required string PromptType { get; init; }

    /// <summary>"warm_up" or "measured".</summary>
    public required string Phase { get; init; }

    /// <summary>Iteration of this prompt type in this load and route, or position in the trace, from 0.</summary>
    public int Iteration { get; init; }

    /// <summary>The lane of a closed loop that sent it; -1 where requests come at given times.</summary>
    public int Lane { get; init; } = -1;

    public required string PromptSha256 { get; init; }

    public int? MaxCompletionTokens { get; init; }

    /// <summary>"ok", "error" or "cancelled".</summary>
    public required string Outcome { get; init; }

    /// <summary>Null when the request succeeded.</summary>
    public RequestError? Error { get; init; }

    /// <summary>When it was due.</summary>
    public double ScheduledAt { get; init; }

    /// <summary>When the last attempt was sent.</summary>
    public double? SentAt { get; init; }

    /// <summary>First byte of the last attempt's body.</summary>
    public double? FirstByteAt { get; init; }

    /// <summary>First event of any kind.</summary>
    public double? FirstChunkAt { get; init; }

    /// <summary>First event with text, reasoning or a tool call.</summary>
    public double? FirstContentAt { get; init; }

    public double? LastContentAt { get; init; }

    public double EndedAt { get; init; }

    /// <summary>Arrival of each event with content, seconds from <see cref="SentAt"/>.</summary>
    public IReadOnlyList<double> ContentChunkSeconds { get; init; } = [];

    /// <summary>Events of any kind, [DONE] and comments not counted.</summary>
    public int Chunks { get; init; }

    public int ContentChunks { get; init; }

    /// <summary>Of <see cref="ContentChunks"/> those with nothing but reasoning.</summary>
    public int ReasoningChunks { get; init; }

    /// <summary>"usage" when the server counted, "none" when tokens are not known. Chunks are never taken for tokens.</summary>
    public string TokenSource { get; init; } = "none";

    public long? PromptTokens { get; init; }

    public long? CompletionTokens { get; init; }

    public long? TotalTokens { get; init; }

    public long? CachedTokens { get; init; }

    public long? ReasoningTokens { get; init; }

    public string? FinishReason { get; init; }

    public string? ResponseId { get; init; }

    public string? ResponseModel { get; init; }

    public string? SystemFingerprint { get; init; }

    /// <summary>SHA-256 of reasoning and text as UTF-8, lower-case hex; null when nothing came.</summary>
    public string? TextSha256 { get; init; }

    public int TextCharacters { get; init; }

    /// <summary>What the server says of itself; null when it says nothing.</summary>
    public ServerTimes? Server { get; init; }

    /// <summary>Workers that answered, from reply headers; empty where none are named.</summary>
    public IReadOnlyDictionary<string, string> Workers { get; init; } = new Dictionary<string, string>();

    public ClientTimes Client { get; init; } = new();

    /// <summary>All objectives met; null without objectives, false for a failed request.</summary>
    public bool? WithinSlo { get; init; }

    public IReadOnlyList<AttemptRecord> Attempts { get; init; } = [];
}

/// <summary>Why a request or an attempt failed.</summary>
internal sealed record RequestError
{
    /// <summary>What equal failures have in common, such as "429 token_quota_exceeded" or "cut stream".</summary>
    public required string Label { get; init; }

    public int? Status { get; init; }

    public string? Code { get; init; }

    public string? Type { get; init; }

    public required string Message { get; init; }
}

/// <summary>One HTTP exchange.</summary>
internal sealed record AttemptRecord
{
    public double StartedAt { get; init; }

    /// <summary>Reply headers complete; null when none came.</summary>
    public double? HeadersAt { get; init; }

    public double EndedAt { get; init; }

    /// <summary>Null when no reply came.</summary>
    public int? Status { get; init; }

    /// <summary>Null when the attempt succeeded.</summary>
    public RequestError? Error { get; init; }

    /// <summary>Waited after this attempt; null after the last one.</summary>
    public double? WaitSeconds { get; init; }

    /// <summary>What decided the wait or its absence: "backoff", "retry-after: 3", "day quota", "wait cap" ...</summary>
    public string? WaitReason { get; init; }

    /// <summary>The server's x-ratelimit-* headers that hold numbers, without their prefix: "remaining-tokens-minute" and so on.</summary>
    public IReadOnlyDictionary<string, double> RateLimits { get; init; } = new Dictionary<string, double>();
}
