namespace KvHandoff.Transport;

/// <summary>Wakes the asynchronous calls of one connection. Every wait is for the next signal after <see cref="Next"/>.</summary>
internal sealed class SharedMemoryBell
{
    private TaskCompletionSource? _next;

    /// <summary>Completes at the next signal; take it before looking whether there is anything to wait for.</summary>
    internal Task Next()
    {
        while (true)
        {
            TaskCompletionSource? waiting = Volatile.Read(ref _next);
            if (waiting is not null) return waiting.Task;
            TaskCompletionSource fresh = new(TaskCreationOptions.RunContinuationsAsynchronously);
            if (Interlocked.CompareExchange(ref _next, fresh, null) is null) return fresh.Task;
        }
    }

    /// <summary>Completes what <see cref="Next"/> has given so far.</summary>
    internal void Signal() => Interlocked.Exchange(ref _next, null)?.TrySetResult();
}
