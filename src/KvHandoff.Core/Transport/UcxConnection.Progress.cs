using System.Diagnostics;

namespace KvHandoff.Transport;

/// <summary>
/// Who lets UCX work: of the threads that wait inside, one sleeps on the event descriptor and wakes the others; when none is inside, the progress thread looks. It also takes the
/// connection down.
/// </summary>
internal sealed partial class UcxConnection
{
    private const int LookMilliseconds = 100, UnusedMilliseconds = 500, PumpRounds = 16, QuietLooks = 3, VainSpins = 3, RestAfterVainSpins = 32;
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(10);
    private static readonly long SpinTicks = Stopwatch.Frequency / 1_000_000 * (Environment.ProcessorCount switch { 1 => 0, 2 => 20, _ => 50 });

    private TaskCompletionSource? _change;
    private bool _changed, _leading, _asleep, _isClosed, _workerClosed, _wired, _reported, _peerConnected, _saidConnected;
    private volatile bool _wished, _left;
    private int _followers, _quiet, _vain, _rest;
    private long _lingerUntil;
    private nint _closing, _wiring;

    public bool IsWished => _wished;

    public bool HasSpoken { get; set; }

    public bool TakeWish()
    {
        if (!_wished) return false;
        _wished = false;
        return true;
    }

    public UcxAttention Look()
    {
        if (!Monitor.TryEnter(_gate)) return UcxAttention.Soon;
        try
        {
            if (_workerClosed) return UcxAttention.Ended;
            if (_leading && !_aborted) return _quiet++ < QuietLooks ? UcxAttention.Later : UcxAttention.WhenAsked;
            _quiet = Pump() ? 0 : _quiet + 1;
            if (_aborted) return TakeDown();
            if (!_wired && !_failed) return UcxAttention.Soon;
            if (_quiet <= QuietLooks && _change is null) return UcxAttention.Soon;
            return _worker.Arm() ? UcxAttention.Armed : UcxAttention.Soon;
        }
        finally
        {
            Monitor.Exit(_gate);
        }
    }

    /// <summary>Asks the progress thread to look.</summary>
    private void Wish(bool atOnce)
    {
        _quiet = 0;
        _wished = true;
        UcxProgress.Wish(atOnce);
    }

    /// <summary>The last caller has left a connection that was disposed.</summary>
    private void Leave()
    {
        _left = true;
        Wish(atOnce: true);
    }

    /// <summary>Lets UCX work, without waiting; whether anything moved.</summary>
    private bool Pump()
    {
        if (_workerClosed) return false;
        bool moved = false;
        // What a caller waits for is left in the socket until it has taken what came: it goes past the ring then.
        for (int i = 0; i < PumpRounds && _worker.Progress(); i++)
        {
            moved = true;
            if (_input.Suffices) break;
        }

        FinishWiring();
        SendControl();
        // A failed endpoint carries nothing; closing it ends what is still under way.
        if (_failed && !_isClosed && MayClose) CloseEndpoint();
        if (_isClosed && _closing == 0 && !_peerGone.Task.IsCompleted && _failed) _peerGone.TrySetResult();
        if (_closing != 0) UcxEndpoint.TryFinish(ref _closing, out _);
        if (moved || _changed) Notify();
        return moved;
    }

    private void Notify()
    {
        _changed = false;
        _change?.TrySetResult();
        _change = null;
        if (_followers > 0) Monitor.PulseAll(_gate);
        // Another one took the events that the sleeper waits for.
        if (_asleep) _worker.Signal();
    }

    /// <summary>Completes when something has changed; under the lock.</summary>
    private Task ChangeAsync()
    {
        _change ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Wish(atOnce: true);
        return _change.Task;
    }

    /// <summary>Waits until something may have changed. Under the lock, which it gives up meanwhile.</summary>
    private void WaitForChange()
    {
        if (_aborted || _workerClosed) return;
        Interlocked.Increment(ref _calls);
        if (_leading)
        {
            _followers++;
            Monitor.Wait(_gate, LookMilliseconds);
            _followers--;
            return;
        }

        _leading = true;
        if (!Spin() && _worker.Arm() && !_aborted)
        {
            _asleep = true;
            Monitor.Exit(_gate);
            UcxProgress.WaitReadable(_worker.EventDescriptor, LookMilliseconds);
            Monitor.Enter(_gate);
            _asleep = false;
        }

        Pump();
        _leading = false;
        if (_followers > 0) Monitor.PulseAll(_gate);
        Wish(atOnce: _aborted || _change is not null);
    }

    /// <summary>Looks for a short while, as a peer that is awake answers sooner than a sleeper wakes.</summary>
    private bool Spin()
    {
        if (_rest > 0)
        {
            _rest--;
            return false;
        }

        for (long end = Stopwatch.GetTimestamp() + SpinTicks; Stopwatch.GetTimestamp() < end && !_aborted;)
        {
            if (Pump())
            {
                _vain = 0;
                return true;
            }

            Monitor.Exit(_gate);
            Thread.SpinWait(10);
            Monitor.Enter(_gate);
        }

        if (++_vain >= VainSpins) (_vain, _rest) = (0, RestAfterVainSpins);
        return false;
    }

    /// <summary>Whether UCX survives on both sides that the endpoint is closed: both have connected, or UCX itself has given it up.</summary>
    private bool MayClose => _endpoint is null || _reported || (_wired && _peerConnected);

    // A flush is done when the endpoint has connected.
    private void FinishWiring()
    {
        if (_wiring == 0 || !UcxEndpoint.TryFinish(ref _wiring, out int status)) return;
        _changed = true;
        if (status == UcxStructures.Ok)
        {
            _wired = true;
            return;
        }

        _reported = true;
        Fail(status);
    }

    private void CloseEndpoint()
    {
        _isClosed = true;
        _changed = true;
        if (_endpoint is null) return;
        nint closing = _endpoint.Close();
        if (!UcxStructures.IsError(closing, out _)) _closing = closing;
    }

    /// <summary>
    /// The end of a connection that was given up or disposed: the peer hears of it and is given time to take in what was sent, then the endpoint is closed. One that shares
    /// regions waits for the peer's end, of which it would not hear afterwards.
    /// </summary>
    private UcxAttention TakeDown()
    {
        if (_lingerUntil == 0) _lingerUntil = Environment.TickCount64 + (long)Linger.TotalMilliseconds;
        if (!_gaveUp) _sendEnded = true;
        _input.Drop();
        SendControl();
        Notify();
        bool heard = _gaveUp ? _resetSent : _endSeen, late = Environment.TickCount64 > _lingerUntil, waitsForPeer = !_shared.IsEmpty && (_isSameHost || !late);
        // A peer that has this worker's address may be connecting to it, which a worker that ends in the middle of does not survive either.
        if (_endpoint is null && !_isClosed && _lingerUntil - Environment.TickCount64 > Linger.TotalMilliseconds - UnusedMilliseconds) return UcxAttention.Soon;
        if (!_isClosed && !MayClose)
        {
            // Nobody was given this connection. Where the peer never connects, the endpoint is kept for good.
            if (_wired) SayConnected();
            return late && _worker.Arm() ? UcxAttention.Armed : UcxAttention.Soon;
        }

        if (!_isClosed)
        {
            if (!_failed && !(late || heard || _endpoint is null)) return UcxAttention.Soon;
            // Within this host a peer may write by a copy between processes, which no closing here prevents.
            if (!_failed && _endpoint is not null && waitsForPeer) return _quiet <= QuietLooks || !_worker.Arm() ? UcxAttention.Soon : late ? UcxAttention.Armed : UcxAttention.Later;
            CloseEndpoint();
        }

        if (_closing != 0 && !UcxEndpoint.TryFinish(ref _closing, out _)) return UcxAttention.Soon;
        if (_wiring != 0 && !UcxEndpoint.TryFinish(ref _wiring, out _)) return UcxAttention.Soon;
        // All are asked, whatever the first says: each has to come to its end.
        if (!(_data.AreFree() & _control.AreFree() & WritesAreDone())) return UcxAttention.Soon;
        _peerGone.TrySetResult();
        // Closed last: its end tells the peer that nothing more comes from here, not even writes.
        _socket.Dispose();
        if (!_left) return UcxAttention.WhenAsked;
        ReleaseKeys();
        _workerClosed = true;
        _worker.Close();
        return UcxAttention.Ended;
    }
}
