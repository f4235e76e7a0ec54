using System.Collections.Concurrent;

namespace KvHandoff.Session;

/// <summary>One granule of one layer that is ready to be sent.</summary>
internal readonly record struct SendJob(OutgoingHandoff Handoff, int Layer, int Granule, long PublishedAt);

/// <summary>Published granules waiting for a stream. Publishing never waits: the queue is bounded by what the offers granted.</summary>
internal sealed class SendQueue : IDisposable
{
    private readonly ConcurrentQueue<SendJob> _jobs = new();
    private readonly SemaphoreSlim _ready = new(0);
    private int _closed;

    internal void Add(in SendJob job) => _jobs.Enqueue(job);

    /// <summary>Wakes streams for <paramref name="jobs"/> jobs that were added.</summary>
    internal void Announce(int jobs)
    {
        if (jobs > 0 && Volatile.Read(ref _closed) == 0) _ready.Release(jobs);
    }

    /// <summary>Waits for a job; false when the queue is closed.</summary>
    internal bool TryTake(out SendJob job)
    {
        while (true)
        {
            _ready.Wait();
            if (Volatile.Read(ref _closed) != 0)
            {
                job = default;
                return false;
            }

            if (_jobs.TryDequeue(out job)) return true;
        }
    }

    internal void Close(int streams)
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0) _ready.Release(streams);
    }

    public void Dispose() => _ready.Dispose();
}
