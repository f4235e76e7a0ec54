using KvHandoff.Layout;
using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>
/// One data connection of a sender. A thread of its own sends what is queued; who waits for the end of a small handoff sends its frames instead,
/// as far as that takes no waiting.
/// </summary>
internal sealed class SendStream
{
    private readonly IConnection _connection;
    private readonly FrameSource _source;
    private readonly SendQueue _queue;
    private readonly Action<TransportResult> _failed;
    private readonly Thread _thread;
    private readonly List<OutgoingHandoff> _inside = [];

    // Held by whoever sends.
    private readonly Lock _sending = new();
    private bool _ended;

    // A stream sleeps on a signal of its own: its rest is no other's to send, so no other may take the signal.
    private readonly SemaphoreSlim _signal = new(0);
    private int _asleep;

    // What Help found no room for is the thread's to send.
    private volatile bool _hasUnsent;

    internal SendStream(IConnection connection, int index, ulong epoch, SendQueue queue, Action<TransportResult> failed, RemoteWindow? remote = null)
    {
        _connection = connection;
        _source = new FrameSource(connection, epoch, remote);
        _queue = queue;
        _failed = failed;
        queue.Join(this);
        _thread = new Thread(Run) { IsBackground = true, Name = $"kvhandoff send {index}" };
    }

    /// <summary>Whether there is something for the thread though nothing is queued.</summary>
    internal bool HasUnsent => _hasUnsent;

    /// <summary>Says that <see cref="Sleep"/> comes next, unless a last look finds something.</summary>
    internal void FallAsleep() => Interlocked.Exchange(ref _asleep, 1);

    internal void StayAwake() => Interlocked.Exchange(ref _asleep, 0);

    /// <summary>Until <see cref="TryWake"/>; it may return without.</summary>
    internal void Sleep()
    {
        _signal.Wait();
        StayAwake();
    }

    /// <summary>Wakes the thread; false when it was awake.</summary>
    internal bool TryWake()
    {
        if (Interlocked.Exchange(ref _asleep, 0) == 0) return false;
        _signal.Release();
        return true;
    }

    internal long BytesSent => _connection.Counters.BytesSent;

    internal void Start() => _thread.Start();

    internal void Abort() => _connection.Abort();

    /// <summary>Sends what is queued of a handoff on the calling thread, as long as nobody else sends and there is room: it never waits.</summary>
    internal void Help(OutgoingHandoff handoff)
    {
        if (!_source.CanTry || !_sending.TryEnter()) return;
        try
        {
            TransportResult sent = TransportResult.Ok;
            while (!_ended && sent.IsOk && !_hasUnsent && _queue.TryTake(handoff, out SendJob job))
            {
                sent = Add(job);
                while (sent.IsOk && _source.HasRoom && _queue.TryTake(handoff, out job)) sent = Add(job);
                if (sent.IsOk) sent = _source.TryFlush();
                _hasUnsent = sent.IsOk && _source.HasUnsent;
                if (!_hasUnsent) Leave();
            }

            if (!sent.IsOk) _failed(sent);
            else if (_hasUnsent) TryWake();
        }
        finally
        {
            _sending.Exit();
        }
    }

    /// <summary>Ends the thread, which has been told by the queue, and closes the connection.</summary>
    internal async Task EndAsync()
    {
        if (_thread.IsAlive) await Task.Run(_thread.Join).ConfigureAwait(false);
        lock (_sending)
        {
            _ended = true;
            Leave();
            _source.Dispose();
        }

        await _connection.DisposeAsync().ConfigureAwait(false);
    }

    private void Run()
    {
        while (_queue.Wait(this))
        {
            TransportResult sent = TransportResult.Ok;
            lock (_sending)
            {
                if (_hasUnsent) sent = Finish(sent);
                if (sent.IsOk && _queue.TryTake(out SendJob job)) sent = SendBatch(job);
            }

            if (sent.IsOk) continue;
            _failed(sent);
            return;
        }
    }

    private TransportResult SendBatch(SendJob job)
    {
        TransportResult sent = Add(job);
        while (sent.IsOk && _source.HasRoom && _queue.TryTake(out job)) sent = Add(job);
        return Finish(sent);
    }

    private TransportResult Finish(TransportResult sent)
    {
        if (sent.IsOk) sent = _source.Flush();
        if (!sent.IsOk) _source.Abandon();
        _hasUnsent = false;
        Leave();
        return sent;
    }

    private void Leave()
    {
        foreach (OutgoingHandoff handoff in _inside) handoff.Use.Exit();
        _inside.Clear();
    }

    private TransportResult Add(in SendJob job)
    {
        if (!job.Handoff.Use.TryEnter()) return TransportResult.Ok;
        _inside.Add(job.Handoff);
        try
        {
            job.Handoff.Clock.Longest(HandoffPhase.Queue, job.PublishedAt);
            return _source.Add(job.Handoff, job.Piece, job.Frame);
        }
        catch (Exception e)
        {
            // A host that disposes its sequence too early must not take the process with it: the frame may be half written.
            (int layer, int granule) = job.Piece.Locate(job.Frame);
            return new TransportResult(TransportStatus.Failed, $"Sending layer {layer}, granule {granule} threw {e.GetType().Name}: {e.Message}");
        }
    }
}
