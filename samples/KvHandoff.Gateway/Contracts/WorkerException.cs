namespace KvHandoff.Gateway.Contracts;

/// <summary>Why a worker did not do what it was asked.</summary>
internal enum WorkerFailure
{
    /// <summary>The worker is gone or cannot be reached: what it had begun may be begun again elsewhere.</summary>
    Lost,

    /// <summary>It has no room or place now; elsewhere or later it may go.</summary>
    Busy,

    /// <summary>The request can never fit this worker.</summary>
    TooLong,

    /// <summary>The handoff ended without a commit: aborted, expired or rejected by the other side.</summary>
    Handoff,

    /// <summary>The request is not one that a worker takes.</summary>
    Invalid,

    /// <summary>The worker is in error.</summary>
    Internal,
}

/// <summary>A worker did not do what it was asked.</summary>
internal sealed class WorkerException(WorkerFailure failure, string worker, string message, Exception? inner = null) : Exception($"Worker {worker}: {message}", inner)
{
    /// <summary>What kind of failure, and so what may be tried next.</summary>
    public WorkerFailure Failure { get; } = failure;

    /// <summary>Name of the worker.</summary>
    public string Worker { get; } = worker;
}
