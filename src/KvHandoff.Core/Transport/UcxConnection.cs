using System.Collections.Immutable;
using System.IO.Pipelines;
using System.Net;

namespace KvHandoff.Transport;

/// <summary>
/// A connection over UCX: a worker and an endpoint of its own. The stream goes in eager active messages of bounded size within a window that the receiver grants; writes into
/// the listener's regions go past it. Everything under one lock, which is never held while a thread sleeps.
/// </summary>
internal sealed partial class UcxConnection : IConnection, IPolledStream, IPolledConnection, IRemoteMemoryPeer, IUcxEvents, IUcxProgressed
{
    // Up to 62 KiB an eager message over TCP is one fragment, which its receiver reads without putting it together first; five of 56 KiB hold a frame of 256 KiB with its header.
    private const int DefaultWindowBytes = 1 << 20, ChunkBytes = 56 << 10, DataSlots = 8, ControlSlots = 4;

    // A shorter piece is copied in less time than it takes as a place of its own.
    private const int BorrowedBytes = 8 << 10;

    private readonly object _gate = new();
    private readonly UcxWorker _worker;
    private readonly SocketConnection _socket;
    private readonly UcxInput _input;
    private readonly UcxSlots _data = new(DataSlots, ChunkBytes), _control = new(ControlSlots, 0);
    private readonly bool? _oneSided;
    private ImmutableArray<UcxRemoteRegion> _shared;
    private readonly TimeSpan _drainTimeout;
    private readonly TaskCompletionSource _peerGone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _pipeGate = new();
    private ConnectionUse _use;
    private UcxEndpoint? _endpoint;
    private ControlPipe? _pipe;
    private ImmutableArray<UcxRemoteRegion> _remote = [];
    private volatile bool _aborted, _gaveUp, _receiveStopped;
    private int _disposed, _peerWindowBytes, _failedStatus;
    private long _sent, _peerTaken, _advertised, _bytesSent, _bytesReceived, _calls, _endOffset = -1;
    private bool _isSameHost, _sendEnded, _endSent, _endSeen, _endSeenSent, _resetSent, _peerReset, _failed;
    private string? _fault;

    /// <param name="context">The context of both.</param>
    /// <param name="socket">The connected socket over which the two sides found each other; owned. Its end is the peer's.</param>
    /// <param name="shared">What the peer may write here.</param>
    /// <param name="description">For messages.</param>
    /// <param name="options">Window and drain timeout.</param>
    internal UcxConnection(UcxContext context, SocketConnection socket, ImmutableArray<UcxRemoteRegion> shared, string description, TransportOptions options)
    {
        _socket = socket;
        _shared = shared;
        _oneSided = options.UcxOneSided;
        _drainTimeout = options.DrainTimeout;
        int asked = Math.Max(options.SendBufferBytes, options.ReceiveBufferBytes);
        _input = new UcxInput(asked <= 0 ? DefaultWindowBytes : Math.Clamp(asked, UcxBootstrap.MinWindowBytes, UcxBootstrap.MaxWindowBytes));
        Remote = socket.Remote;
        Description = description;
        _worker = new UcxWorker(context, this);
        UcxProgress.Add(this);
    }

    public EndPoint? Remote { get; }

    public string Description { get; }

    public TransportCounters Counters => new(Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _bytesReceived), Interlocked.Read(ref _calls));

    public int EventDescriptor => _worker.EventDescriptor;

    public Task PeerGone => _peerGone.Task;

    public bool OffersRegions
    {
        get
        {
            lock (_gate) return !_shared.IsEmpty;
        }
    }

    /// <summary>The transports and devices that UCX chose for the endpoint, such as tcp/eth0 or rc_mlx5/mlx5_0:1.</summary>
    internal string Lanes { get; private set; } = "";

    public bool HasData
    {
        get
        {
            if (!TryEnter()) return true;
            bool ready;
            lock (_gate) ready = IsReadable() || (Pump() && IsReadable());
            Exit();
            return ready;
        }
    }

    public TransportResult CompleteSend()
    {
        if (!TryEnter()) return AbortedResult();
        lock (_gate)
        {
            _sendEnded = true;
            SendControl();
        }

        Wish(atOnce: false);
        Exit();
        return TransportResult.Ok;
    }

    public IDuplexPipe AsPipe()
    {
        lock (_pipeGate)
            return _pipe ??= new ControlPipe(this);
    }

    public void Abort()
    {
        _gaveUp = true;
        End();
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        End();
        if (_use.Close()) Leave();
    }

    public async ValueTask DisposeAsync()
    {
        if (_pipe is { } pipe && !_aborted) await pipe.WaitForOutputAsync(_drainTimeout).ConfigureAwait(false);
        Dispose();
    }

    public void StopReceiving()
    {
        _receiveStopped = true;
        if (!_use.TryEnter()) return;
        _worker.Signal();
        Exit();
    }

    /// <summary>What the peer has to know.</summary>
    internal byte[] Greeting()
    {
        lock (_gate) return UcxBootstrap.Write(_input.WindowBytes, _worker.Address(), _shared.AsSpan());
    }

    /// <summary>Joins the peer's worker.</summary>
    /// <exception cref="TransportException">UCX has no way to it.</exception>
    internal void Open(in UcxGreeting peer)
    {
        lock (_gate)
        {
            _peerWindowBytes = peer.WindowBytes;
            _isSameHost = peer.IsSameHost;
            _remote = peer.Regions;
            _endpoint = UcxEndpoint.Connect(_worker, peer.Address);
            _wiring = _endpoint.Flush();
            _wired = _wiring == 0;
            if (UcxStructures.IsError(_wiring, out int status))
            {
                _wiring = 0;
                _reported = true;
                Fail(status);
            }

            Lanes = UcxLanes.Of(_endpoint);
            // An emulated write takes the receiving process down with a sender that dies in it.
            if (!(_oneSided ?? UcxLanes.WriteNatively(Lanes))) _shared = [];
        }

        _ = WatchAsync();
    }

    /// <summary>
    /// Completes when both workers have found each other. Before that UCX may not be asked to close: 1.13 ends the process when an endpoint is closed that still has messages of its own to send.
    /// </summary>
    /// <exception cref="TransportException">They do not.</exception>
    internal async Task WireAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            Task change;
            lock (_gate)
            {
                Pump();
                if (_failed) throw new TransportException(TransportStatus.Reset, $"{Description}: {UcxLibrary.Text(_failedStatus)} before the two workers had found each other");
                if (_wired) SayConnected();
                if (_wired && _peerConnected) return;
                change = ChangeAsync();
            }

            await change.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    // Over the socket comes one byte, when the peer has connected, and then its end. A peer that has gone without is none that closing could harm.
    private async Task WatchAsync()
    {
        bool here = (await _socket.ReceiveAsync(new byte[1], CancellationToken.None).ConfigureAwait(false)).IsOk;
        lock (_gate)
        {
            _peerConnected = _changed = true;
            Pump();
        }

        Wish(atOnce: true);
        if (here) _ = await _socket.ReceiveAsync(new byte[1], CancellationToken.None).ConfigureAwait(false);
        lock (_gate)
        {
            Fail(UcxStructures.ConnectionReset);
            _changed = true;
            Pump();
        }

        Wish(atOnce: true);
    }

    private void SayConnected()
    {
        if (_saidConnected) return;
        _saidConnected = true;
        _ = _socket.SendAsync(new byte[] { 1 }, CancellationToken.None);
    }

    private void End()
    {
        _aborted = true;
        if (_use.TryEnter())
        {
            _worker.Signal();
            Exit();
        }

        Wish(atOnce: true);
        _pipe?.StopWaiting();
    }

    private bool TryEnter() => !_aborted && _use.TryEnter();

    private void Exit()
    {
        if (_use.Exit()) Leave();
    }

    private void Count(ref long bytes, long moved)
    {
        Interlocked.Increment(ref _calls);
        if (moved > 0) Interlocked.Add(ref bytes, moved);
    }

    private bool IsReadable() => _input.Waiting > 0 || _receiveStopped || _aborted || _fault is not null || _endOffset == _input.Arrived || _peerReset || _failed;

    private TransportResult AbortedResult() => new(TransportStatus.Aborted, $"{Description}: aborted on this side");

    /// <summary>How the incoming stream ended for a call that found nothing more; null while it has not.</summary>
    private TransportResult? ReceiveEnd(long done, long total)
    {
        if (_aborted) return AbortedResult();
        if (_fault is not null) return new(TransportStatus.Failed, $"{Description}: {_fault}, after {done} of {total} bytes were received");
        if (_endOffset == _input.Arrived) return SocketErrors.EndOfStream(Description, done, total);
        if (_peerReset) return new(TransportStatus.Reset, $"{Description}: the peer gave up after {done} of {total} bytes were received");
        return _failed ? new(TransportStatus.Reset, $"{Description}: {UcxLibrary.Text(_failedStatus)} after {done} of {total} bytes were received") : null;
    }

    /// <summary>Why nothing more can be sent; null while it can.</summary>
    private TransportResult? SendEnd(long done, long total)
    {
        if (_aborted) return AbortedResult();
        if (_fault is not null) return new(TransportStatus.Failed, $"{Description}: {_fault}, after {done} of {total} bytes were sent");
        if (_sendEnded) return new(TransportStatus.Failed, $"{Description}: this side has ended its stream; {total - done} bytes follow it");
        if (_peerReset) return new(TransportStatus.Reset, $"{Description}: the peer reads no more after {done} of {total} bytes were sent");
        return _failed ? new(TransportStatus.Reset, $"{Description}: {UcxLibrary.Text(_failedStatus)} after {done} of {total} bytes were sent") : null;
    }
}
