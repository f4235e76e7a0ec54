namespace KvHandoff.Native;

/// <summary>What a handle stands for. Calls pin it, so that closing waits for the ones that are inside; objects that depend on it keep it open.</summary>
abstract class NativeObject
{
    readonly NativeObject[] _parents;
    int _pins, _dependents;
    bool _closing;
    volatile bool _closed;

    /// <param name="parents">Objects that must outlive this one; the caller has them pinned.</param>
    protected NativeObject(params NativeObject[] parents)
    {
        _parents = parents;
        for (int i = 0; i < parents.Length; i++)
        {
            if (parents[i].TryDepend()) continue;
            while (--i >= 0) parents[i].Undepend();
            throw new StatusException(Status.Handle, "An object that is needed is being closed.");
        }
    }

    internal ulong Handle { get; set; }

    /// <summary>The last failure of a call on this handle, or of what it started.</summary>
    internal FailureInfo? LastFailure { get; set; }

    /// <summary>Whether closing it waits for peers or threads, which a callback must not do.</summary>
    internal virtual bool ClosingWaits => false;

    internal bool TryPin()
    {
        Interlocked.Increment(ref _pins);
        if (!_closed) return true;
        Interlocked.Decrement(ref _pins);
        return false;
    }

    internal void Unpin() => Interlocked.Decrement(ref _pins);

    /// <summary>Lets nobody in any more; false when others depend on it, or when it is being closed already.</summary>
    internal bool TryClose(out int status)
    {
        lock (_parents)
        {
            status = _closing ? Status.Handle : _dependents > 0 ? Status.InUse : Status.Ok;
            if (status != Status.Ok) return false;
            _closing = _closed = true;
            return true;
        }
    }

    /// <summary>Ends waits, waits for calls that are inside, frees what the object has and lets go of its parents.</summary>
    internal void Finish()
    {
        EndWaits();
        SpinWait wait = default;
        while (Volatile.Read(ref _pins) != 0) wait.SpinOnce();
        try
        {
            Free();
        }
        finally
        {
            foreach (NativeObject parent in _parents) parent.Undepend();
        }
    }

    /// <summary>For an object whose making failed after its parents had been told.</summary>
    internal void Abandon()
    {
        foreach (NativeObject parent in _parents) parent.Undepend();
    }

    protected virtual void EndWaits()
    {
    }

    /// <summary>Returns when memory of the host that it used is the host's again.</summary>
    protected abstract void Free();

    bool TryDepend()
    {
        lock (_parents)
        {
            if (_closing) return false;
            _dependents++;
            return true;
        }
    }

    void Undepend()
    {
        lock (_parents) _dependents--;
    }
}

/// <summary>A call that is inside an object; disposing lets it go.</summary>
readonly ref struct Pin<T>(T target) where T : NativeObject
{
    internal T Target => target;

    public void Dispose() => target.Unpin();
}
