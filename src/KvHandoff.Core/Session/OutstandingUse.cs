namespace KvHandoff.Session;

/// <summary>
/// Counts threads that are inside a handoff's blocks (a receive into them, a send out of them). Once closed nobody enters, and the
/// last one out runs the release: blocks never change hands while a system call may still touch them.
/// </summary>
internal sealed class OutstandingUse(Action released)
{
    private const int Closed = 1 << 30, Released = 1 << 29;

    private int _state;

    internal int Count => Volatile.Read(ref _state) & (Released - 1);

    /// <summary>Enters, unless closed.</summary>
    internal bool TryEnter()
    {
        for (int seen = Volatile.Read(ref _state); (seen & Closed) == 0;)
        {
            int before = Interlocked.CompareExchange(ref _state, seen + 1, seen);
            if (before == seen) return true;
            seen = before;
        }

        return false;
    }

    internal void Exit()
    {
        if (Interlocked.Decrement(ref _state) == Closed) ReleaseOnce();
    }

    /// <summary>Lets nobody else in; runs the release now if nobody is inside. Later calls do nothing.</summary>
    internal void Close()
    {
        if ((Interlocked.Or(ref _state, Closed) & Closed) != 0) return;
        ReleaseOnce();
    }

    // Close and the last Exit may arrive here together; only one of them finds the state without users and unreleased.
    private void ReleaseOnce()
    {
        if (Interlocked.CompareExchange(ref _state, Closed | Released, Closed) == Closed) released();
    }
}
