namespace KvHandoff.Transport;

/// <summary>
/// Counts the calls inside a connection, so that its descriptor is closed by whoever leaves last and no call ever meets a
/// descriptor number that was given to another file meanwhile. Lock-free; a field, never copied.
/// </summary>
internal struct ConnectionUse
{
    private const int ClosedFlag = 1 << 30;
    private int _state;

    /// <summary>False once <see cref="Close"/> was called; a true must be paired with <see cref="Exit"/>.</summary>
    public bool TryEnter()
    {
        int seen = Volatile.Read(ref _state);
        while ((seen & ClosedFlag) == 0)
        {
            int before = Interlocked.CompareExchange(ref _state, seen + 1, seen);
            if (before == seen) return true;
            seen = before;
        }
        return false;
    }

    /// <summary>True when the caller is the last one out of a closed connection and has to release it.</summary>
    public bool Exit() => Interlocked.Decrement(ref _state) == ClosedFlag;

    /// <summary>Lets nobody in any more; true when nobody is inside and the caller has to release the connection.</summary>
    public bool Close() => Interlocked.Or(ref _state, ClosedFlag) == 0;
}
