using System.Collections.Concurrent;

namespace KvHandoff.Session;

/// <summary>One granule of one layer that is ready to be sent.</summary>
internal readonly record struct SendJob(OutgoingHandoff Handoff, HandoffPiece Piece, int Frame, long PublishedAt);

/// <summary>
/// Published granules waiting for a stream, those of handoffs with a higher priority first. Publishing never waits: the queue is bounded by what
/// the offers granted.
/// </summary>
internal sealed class SendQueue
{
    // Four levels order what competes without a lock; the host's 256 priorities are divided among them.
    private const int Levels = 4;

    private readonly ConcurrentQueue<SendJob>[] _jobs = [.. Enumerable.Range(0, Levels).Select(_ => new ConcurrentQueue<SendJob>())];
    private readonly SemaphoreSlim _ready = new(0);
    private int _closed;

    internal void Add(in SendJob job, byte priority) => _jobs[Levels - 1 - priority * Levels / 256].Enqueue(job);

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

            if (TryDequeue(out job)) return true;
        }
    }

    /// <summary>A job if one is there.</summary>
    internal bool TryTakeNow(out SendJob job)
    {
        job = default;
        return Volatile.Read(ref _closed) == 0 && _ready.Wait(0) && TryDequeue(out job);
    }

    private bool TryDequeue(out SendJob job)
    {
        foreach (ConcurrentQueue<SendJob> level in _jobs)
        {
            if (level.TryDequeue(out job)) return true;
        }

        job = default;
        return false;
    }

    internal void Close(int streams)
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0) _ready.Release(2 * Math.Max(1, streams));
    }
}
