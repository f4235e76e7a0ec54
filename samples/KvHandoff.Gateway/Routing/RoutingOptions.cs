namespace KvHandoff.Gateway.Routing;

/// <summary>How long and how often a request is tried.</summary>
internal sealed record RoutingOptions
{
    /// <summary>From the request to its last token.</summary>
    internal TimeSpan RequestDeadline { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>From the choice of the workers to the commit of the handoff; queueing and computing the prompt included.</summary>
    internal TimeSpan HandoffDeadline { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Longest silence of a worker that generates, before it counts as lost.</summary>
    internal TimeSpan StallLimit { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a request waits while no worker for it is up.</summary>
    internal TimeSpan WorkerWait { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a request waits while every worker for it is full.</summary>
    internal TimeSpan BusyWait { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Attempts, where workers were lost or handoffs failed.</summary>
    internal int MaxAttempts { get; init; } = 4;
}
