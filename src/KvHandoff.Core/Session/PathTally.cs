namespace KvHandoff.Session;

/// <summary>What the committed handoffs of a sender moved, and how fast. Thread-safe; a handoff adds to it once.</summary>
internal sealed class PathTally
{
    private readonly Lock _gate = new();
    private PathRates _rates;

    internal PathRates Rates
    {
        get
        {
            lock (_gate) return _rates;
        }
    }

    /// <param name="kvBytes">Bytes of cache.</param>
    /// <param name="movedBytes">Bytes that passed over the path: frames, or rows that were written into the receiver's blocks.</param>
    /// <param name="seconds">From the grant to the verdict.</param>
    internal void Add(long kvBytes, long movedBytes, double seconds)
    {
        if (seconds <= 0) return;
        lock (_gate)
        {
            _rates = new PathRates(_rates.Handoffs + 1, _rates.KvBytes + kvBytes, _rates.MovedBytes + movedBytes, _rates.Seconds + seconds,
                Math.Max(_rates.BestBytesPerSecond, movedBytes / seconds));
        }
    }
}

/// <summary>What a sender's committed handoffs reached so far, each from its grant to its verdict: waiting for prefill is in it.</summary>
/// <param name="Handoffs">Committed handoffs.</param>
/// <param name="KvBytes">Bytes of cache, as the sender stores them.</param>
/// <param name="MovedBytes">Bytes that passed over the path: frames, and rows that were written into the receiver's blocks.</param>
/// <param name="Seconds">Sum over the handoffs; those that overlapped count each.</param>
/// <param name="BestBytesPerSecond">The highest rate of one handoff.</param>
public readonly record struct PathRates(long Handoffs, long KvBytes, long MovedBytes, double Seconds, double BestBytesPerSecond)
{
    /// <summary>Bytes per second over all handoffs; 0 before the first.</summary>
    public double MeanBytesPerSecond => Seconds == 0 ? 0 : MovedBytes / Seconds;
}
