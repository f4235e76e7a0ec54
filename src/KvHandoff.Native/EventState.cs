using System.Runtime.InteropServices;

namespace KvHandoff.Native;

[Flags]
enum HandleEvents : uint
{
    None = 0,
    Granted = 1,
    Committed = 2,
    Failed = 4,
    Layer = 8,
    Landed = 16,
    Incoming = 32,
    All = 63,
}

/// <summary>
/// What has happened to a handle, told in three ways: to those who ask or wait, to the host's callback, and to its eventfd. Callbacks of one handle come
/// one at a time, on threads of the pool.
/// </summary>
sealed unsafe class EventState : IThreadPoolWorkItem
{
    readonly object _gate = new();
    HandleEvents _happened, _callbackMask, _descriptorMask, _untold;
    delegate* unmanaged[Cdecl]<void*, ulong, uint, void> _callback;
    void* _user;
    ulong _handle;
    int _descriptor = -1;
    bool _ended, _telling;
    Thread? _teller;

    internal HandleEvents Happened
    {
        get
        {
            lock (_gate) return _happened;
        }
    }

    /// <summary>Something happened; also again, as layers and incoming handoffs do.</summary>
    internal void Raise(HandleEvents events)
    {
        lock (_gate)
        {
            if (_ended) return;
            _happened |= events;
            Monitor.PulseAll(_gate);
            Tell(events);
        }
    }

    /// <summary>An event that can be over, as when the last incoming handoff was taken.</summary>
    internal void Withdraw(HandleEvents events)
    {
        lock (_gate) _happened &= ~events;
    }

    /// <summary>Waits for one of the events; false when the time is over first.</summary>
    /// <exception cref="StatusException">The handle was closed meanwhile.</exception>
    internal bool Wait(HandleEvents mask, long timeoutMs)
    {
        long end = timeoutMs < 0 ? long.MaxValue : Environment.TickCount64 + Math.Min(timeoutMs, int.MaxValue);
        lock (_gate)
        {
            while ((_happened & mask) == 0)
            {
                if (_ended) throw new StatusException(Status.Handle, "The handle was closed while this thread waited.");
                long left = end == long.MaxValue ? int.MaxValue : end - Environment.TickCount64;
                if (left <= 0) return false;
                Monitor.Wait(_gate, (int)Math.Min(left, int.MaxValue));
            }

            return true;
        }
    }

    /// <summary>Sets the callback, or takes it away and waits for one that runs.</summary>
    internal void SetCallback(ulong handle, HandleEvents mask, delegate* unmanaged[Cdecl]<void*, ulong, uint, void> callback, void* user)
    {
        lock (_gate)
        {
            _untold = 0;
            _callbackMask = callback == null ? HandleEvents.None : mask;
            _handle = handle;
            _callback = callback;
            _user = user;
            AwaitTeller();
            if (callback != null) Tell(_happened, descriptor: false);
        }
    }

    /// <summary>Sets the eventfd, or takes it away.</summary>
    internal void SetDescriptor(HandleEvents mask, int descriptor)
    {
        lock (_gate)
        {
            if (_descriptor >= 0) SystemCalls.Close(_descriptor);
            (_descriptor, _descriptorMask) = (descriptor, descriptor < 0 ? HandleEvents.None : mask);
            if ((_happened & _descriptorMask) != 0) SystemCalls.Signal(_descriptor);
        }
    }

    /// <summary>Ends waits, and callbacks for good.</summary>
    internal void End()
    {
        lock (_gate)
        {
            _ended = true;
            _callback = null;
            _callbackMask = _untold = HandleEvents.None;
            Monitor.PulseAll(_gate);
            AwaitTeller();
            if (_descriptor >= 0) SystemCalls.Close(_descriptor);
            (_descriptor, _descriptorMask) = (-1, HandleEvents.None);
        }
    }

    public void Execute()
    {
        lock (_gate)
        {
            _teller = Thread.CurrentThread;
            while (_untold != 0 && _callback != null)
            {
                uint events = (uint)_untold;
                delegate* unmanaged[Cdecl]<void*, ulong, uint, void> callback = _callback;
                void* user = _user;
                ulong handle = _handle;
                _untold = 0;
                Monitor.Exit(_gate);
                CallbackScope.Enter();
                try
                {
                    callback(user, handle, events);
                }
                finally
                {
                    CallbackScope.Leave();
                    Monitor.Enter(_gate);
                }
            }

            _teller = null;
            _telling = false;
            Monitor.PulseAll(_gate);
        }
    }

    // With the gate held.
    void Tell(HandleEvents events, bool descriptor = true)
    {
        if (descriptor && (events & _descriptorMask) != 0) SystemCalls.Signal(_descriptor);
        if ((events & _callbackMask) == 0) return;
        _untold |= events & _callbackMask;
        if (_telling) return;
        _telling = true;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    // With the gate held, which the wait gives up meanwhile.
    void AwaitTeller()
    {
        while (_telling && _teller != Thread.CurrentThread) Monitor.Wait(_gate);
    }
}

/// <summary>An object to which things happen.</summary>
abstract class NativeSource(params NativeObject[] parents) : NativeObject(parents)
{
    internal EventState Events { get; } = new();

    /// <summary>Why what was waited for will not happen any more; null while it may.</summary>
    internal virtual FailureInfo? Ended => null;

    protected override void EndWaits() => Events.End();
}
