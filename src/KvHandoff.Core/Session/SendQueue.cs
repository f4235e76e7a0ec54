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
    private readonly List<SendStream> _streams = [];
    private int _closed;

    /// <summary>Before the first job, and before the stream's thread runs.</summary>
    internal void Join(SendStream stream) => _streams.Add(stream);

    internal void Add(in SendJob job, byte priority) => _jobs[Levels - 1 - priority * Levels / 256].Enqueue(job);

    /// <summary>Wakes streams for <paramref name="jobs"/> jobs that were added; costs nothing while they are at work.</summary>
    internal void Announce(int jobs)
    {
        // The jobs before the look: a stream that is about to sleep says so before it looks for the last time.
        Interlocked.MemoryBarrier();
        for (int i = 0; i < _streams.Count && jobs > 0; i++)
        {
            if (_streams[i].TryWake()) jobs--;
        }
    }

    /// <summary>Waits until there may be something to send; false when the queue is closed.</summary>
    internal bool Wait(SendStream stream)
    {
        while (Volatile.Read(ref _closed) == 0)
        {
            if (stream.HasUnsent || HasJobs) return true;
            stream.FallAsleep();
            if (!stream.HasUnsent && !HasJobs && Volatile.Read(ref _closed) == 0) stream.Sleep();
            else stream.StayAwake();
        }

        return false;
    }

    /// <summary>A job if one is there.</summary>
    internal bool TryTake(out SendJob job)
    {
        job = default;
        if (Volatile.Read(ref _closed) != 0) return false;
        foreach (ConcurrentQueue<SendJob> level in _jobs)
        {
            if (level.TryDequeue(out job)) return true;
        }

        return false;
    }

    /// <summary>The first job, if it is one of <paramref name="only"/>.</summary>
    internal bool TryTake(OutgoingHandoff only, out SendJob job)
    {
        foreach (ConcurrentQueue<SendJob> level in _jobs)
        {
            if (!level.TryPeek(out job)) continue;
            if (!ReferenceEquals(job.Handoff, only) || Volatile.Read(ref _closed) != 0 || !level.TryDequeue(out job)) return false;
            if (ReferenceEquals(job.Handoff, only)) return true;
            // Another stream took what was seen; frames may go in any order.
            level.Enqueue(job);
            Announce(1);
            return false;
        }

        job = default;
        return false;
    }

    internal void Close()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0) Announce(int.MaxValue);
    }

    private bool HasJobs
    {
        get
        {
            foreach (ConcurrentQueue<SendJob> level in _jobs)
            {
                if (!level.IsEmpty) return true;
            }

            return false;
        }
    }
}
