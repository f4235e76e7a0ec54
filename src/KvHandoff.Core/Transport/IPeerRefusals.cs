namespace KvHandoff.Transport;

/// <summary>A listener that turns peers away, and says how many and why. Its accept goes on without them.</summary>
public interface IPeerRefusals
{
    /// <summary>Peers that were closed instead of accepted.</summary>
    long RefusedPeers { get; }

    /// <summary>The latest refusal, null when there was none.</summary>
    TransportException? LastRefusal { get; }
}

/// <summary>The refusals of one listener. Thread-safe.</summary>
internal sealed class PeerRefusalLog
{
    private long _count;
    private volatile TransportException? _last;

    public long Count => Interlocked.Read(ref _count);

    public TransportException? Last => _last;

    public void Add(TransportException refusal)
    {
        // The reason first: whoever sees the count finds it.
        _last = refusal;
        Interlocked.Increment(ref _count);
    }
}
