using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>Which way a request takes through the workers.</summary>
internal enum RouteMode
{
    /// <summary>Disaggregated where there are workers for it, else monolithic.</summary>
    Automatic,

    /// <summary>A prefill worker hands its cache to a decode worker; nothing else will do.</summary>
    Disaggregated,

    /// <summary>One worker does both; nothing else will do.</summary>
    Monolithic,
}

/// <summary>A request in the workers' terms.</summary>
internal sealed record GatewayRequest
{
    /// <summary>Name in headers, logs and offers.</summary>
    public required string RequestId { get; init; }

    /// <summary>Tokens of the prompt, 1 or more.</summary>
    public required int[] Prompt { get; init; }

    /// <summary>Tokens to generate at most, 1 or more.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Token sequences that end the text.</summary>
    public int[][] Stop { get; init; } = [];

    /// <summary>How tokens are chosen; the seed is always set, so that a replay draws the same.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>The way that the client asked for.</summary>
    public RouteMode Mode { get; init; }
}

/// <summary>Why the gateway gave a request up.</summary>
internal enum RequestFailure
{
    /// <summary>No worker for it is up.</summary>
    NoWorker,

    /// <summary>Every worker for it was full for as long as it may wait.</summary>
    Busy,

    /// <summary>It fits no worker.</summary>
    TooLong,

    /// <summary>The workers refused it.</summary>
    Invalid,

    /// <summary>Workers were lost or handoffs failed more often than is tried.</summary>
    Lost,

    /// <summary>It did not end in time.</summary>
    Deadline,

    /// <summary>A worker is in error.</summary>
    Internal,
}

/// <summary>A request was given up; the message is for the client.</summary>
internal sealed class RequestFailedException(RequestFailure failure, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Why.</summary>
    internal RequestFailure Failure { get; } = failure;
}
