namespace KvHandoff.Gateway.Workers;

/// <summary>Where a worker's receiver listens.</summary>
internal static class HandoffAddress
{
    public const string SharedMemory = "shm", Unix = "unix";

    /// <summary>The endpoint: abstract names, which need no file and no cleaning up, or what the options give.</summary>
    public static string For(WorkerOptions options) => options.Handoff switch
    {
        SharedMemory or Unix => $"{options.Handoff}://@kvhandoff-{options.Name}-{Guid.NewGuid():n}",
        _ => options.Handoff,
    };

    /// <summary>Whether senders of this host map the cache.</summary>
    public static bool IsShared(WorkerOptions options) => options.Handoff.StartsWith(SharedMemory, StringComparison.Ordinal);
}
