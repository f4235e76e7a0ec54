using System.Collections.Immutable;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>A connection over a pair of rings in shared memory; the Unix socket that began it stays open and tells when the peer is gone.</summary>
internal sealed partial class SharedMemoryConnection : IConnection, ISharedMemoryPeer, IPolledStream, IPolledConnection
{
    private readonly Socket _socket;
    private readonly int _descriptor;
    private readonly RingMemory _rings;
    private readonly RingEnd _incoming, _outgoing;
    private readonly SharedMemoryRegions _regions;
    private readonly bool _outlivesDisposal;
    private readonly TimeSpan _drainTimeout;
    private readonly Lock _pipeGate = new();
    private ConnectionUse _use;
    private ControlPipe? _pipe;
    private long _bytesSent, _bytesReceived, _calls;
    private volatile bool _aborted, _sendEnded, _receiveStopped, _peerLeft;
    private int _disposed;

    /// <param name="socket">The connected bootstrap socket; owned.</param>
    /// <param name="rings">The mapping; owned.</param>
    /// <param name="createdRings">This side is the connecting one.</param>
    /// <param name="regions">The listener's regions at the connecting side; owned.</param>
    /// <param name="sharesRegions">This side is the accepting one and the peer may have mapped its regions.</param>
    /// <param name="description">For messages.</param>
    /// <param name="options">The drain timeout.</param>
    internal SharedMemoryConnection(Socket socket, RingMemory rings, bool createdRings, SharedMemoryRegions regions, bool sharesRegions,
        string description, TransportOptions options)
    {
        _socket = socket;
        _descriptor = (int)socket.Handle;
        _rings = rings;
        _regions = regions;
        _outlivesDisposal = sharesRegions;
        _drainTimeout = options.DrainTimeout;
        Action ringBell = () => SharedMemorySocket.RingBell(_descriptor);
        _outgoing = rings.End(fromCreator: createdRings, writes: true, ringBell);
        _incoming = rings.End(fromCreator: !createdRings, writes: false, ringBell);
        Description = description;
        Remote = createdRings ? SocketErrors.RemoteOf(socket) : null;
        StartWatching();
    }

    public EndPoint? Remote { get; }

    public string Description { get; }

    public TransportCounters Counters => new(Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _bytesReceived), Interlocked.Read(ref _calls));

    public int RegionCount => _regions.Count;

    public Task PeerGone => _peerGone.Task;

    public ImmutableArray<MemoryRegion> MapRegions()
    {
        ObjectDisposedException.ThrowIf(!_use.TryEnter(), this);
        try
        {
            return _regions.Map();
        }
        finally
        {
            Exit();
        }
    }

    public bool TryHoldRegions() => _use.TryEnter();

    public void ReleaseRegions() => Exit();

    public TransportResult CompleteSend()
    {
        if (!TryEnter()) return AbortedResult();
        _sendEnded = true;
        _outgoing.Leave(RingEnd.Ended);
        Exit();
        return TransportResult.Ok;
    }

    public IDuplexPipe AsPipe()
    {
        lock (_pipeGate)
            return _pipe ??= new ControlPipe(this);
    }

    public void Abort() => End(RingEnd.Aborted);

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        End(RingEnd.Ended);
        if (_use.Close()) Release();
    }

    public async ValueTask DisposeAsync()
    {
        if (_pipe is { } pipe && !_aborted) await pipe.WaitForOutputAsync(_drainTimeout).ConfigureAwait(false);
        Dispose();
    }

    public bool HasData
    {
        get
        {
            if (!TryEnter()) return true;
            bool ready = _incoming.IsReady;
            Exit();
            return ready;
        }
    }

    public void StopReceiving()
    {
        _receiveStopped = true;
        if (!_use.TryEnter()) return;
        _incoming.Interrupt();
        Exit();
    }

    private void End(uint outgoingState)
    {
        _aborted = true;
        if (_use.TryEnter())
        {
            _outgoing.Leave(outgoingState);
            _incoming.Leave(RingEnd.Aborted);
            _outgoing.Interrupt();
            _incoming.Interrupt();
            Exit();
        }
        _bell.Signal();
        _pipe?.StopWaiting();
    }

    private bool TryEnter() => !_aborted && _use.TryEnter();

    private void Exit()
    {
        if (_use.Exit()) Release();
    }

    // Unmapped first: that the socket is closed says that this side cannot write any more.
    private void Release()
    {
        _regions.Dispose();
        _rings.Dispose();
        StopWatching();
    }

    private void Count(ref long bytes, nint moved)
    {
        Interlocked.Increment(ref _calls);
        if (moved > 0) Interlocked.Add(ref bytes, moved);
    }

    private TransportResult AbortedResult() => new(TransportStatus.Aborted, $"{Description}: aborted on this side");

    private TransportResult ReceiveEnd(RingStatus status, long done, long total)
    {
        if (_aborted || _receiveStopped) return AbortedResult();
        return status switch
        {
            RingStatus.Ended => SocketErrors.EndOfStream(Description, done, total),
            RingStatus.Corrupt => Corrupt(_incoming, done, total, "received"),
            RingStatus.PeerLeft => new(TransportStatus.Reset, $"{Description}: the peer gave up after {done} of {total} bytes were received"),
            _ => new(TransportStatus.Reset, $"{Description}: the peer is gone after {done} of {total} bytes were received"),
        };
    }

    private TransportResult SendEnd(RingStatus status, long done, long total)
    {
        if (_aborted) return AbortedResult();
        if (_sendEnded) return new(TransportStatus.Failed, $"{Description}: this side has ended its stream; {total - done} bytes follow it");
        return status switch
        {
            RingStatus.Corrupt => Corrupt(_outgoing, done, total, "sent"),
            RingStatus.PeerLeft => new(TransportStatus.Reset, $"{Description}: the peer reads no more after {done} of {total} bytes were sent"),
            _ => new(TransportStatus.Reset, $"{Description}: the peer is gone after {done} of {total} bytes were sent"),
        };
    }

    private TransportResult Corrupt(RingEnd end, long done, long total, string what) => new(TransportStatus.Failed,
        $"{Description}: the peer's words in the ring are no ring's: {end.LastFilledBytes} bytes filled of {_rings.CapacityBytes}, state "
        + $"{end.LastPeerState} of at most {RingEnd.Aborted}, after {done} of {total} bytes were {what}");
}
