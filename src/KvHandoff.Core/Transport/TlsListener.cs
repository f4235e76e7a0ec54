using System.Net.Sockets;
using System.Threading.Channels;

namespace KvHandoff.Transport;

/// <summary>
/// Accepts TCP connections and shakes hands with all of them at once, so that a peer that stalls keeps nobody else out. When too many
/// handshakes are open the oldest gives way: an honest one takes milliseconds.
/// </summary>
internal sealed class TlsListener : ITransportListener, IPeerRefusals
{
    // As many as the kernel's own queue holds: what is ready, and not yet accepted by the host.
    private const int MostReady = 512;

    private readonly Channel<IConnection> _ready = Channel.CreateBounded<IConnection>(MostReady);
    private readonly LinkedList<Pending> _pending = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly PeerRefusalLog _refusals = new();
    private readonly SocketListener _sockets;
    private readonly TlsOptions _tls;
    private readonly TransportOptions _options;
    private readonly Task _accepting;
    private int _disposed;

    public TlsListener(Socket socket, TransportEndpoint endpoint, TlsOptions tls, TransportOptions options)
    {
        _tls = tls;
        _options = options;
        _sockets = new SocketListener(socket, endpoint, accepted => TlsTransport.Wrap(accepted, options));
        _accepting = AcceptSocketsAsync();
    }

    public TransportEndpoint Endpoint => _sockets.Endpoint;

    public long RefusedPeers => _refusals.Count;

    public TransportException? LastRefusal => _refusals.Last;

    public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken)
    {
        while (await _ready.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            if (_ready.Reader.TryRead(out IConnection? connection)) return connection;
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _sockets.DisposeAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        _ready.Writer.TryComplete();
        while (_ready.Reader.TryRead(out IConnection? unaccepted)) unaccepted.Dispose();
    }

    private async Task AcceptSocketsAsync()
    {
        while (await _sockets.AcceptAsync(CancellationToken.None).ConfigureAwait(false) is SocketConnection socket)
        {
            Pending pending = new(socket);
            lock (_pending)
            {
                _pending.AddLast(pending);
                if (_pending.Count > _tls.MaxPendingHandshakes)
                {
                    _pending.First!.Value.Evict();
                    _pending.RemoveFirst();
                }
            }
            _ = ShakeHandsAsync(socket, pending);
        }
    }

    private async Task ShakeHandsAsync(SocketConnection socket, Pending pending)
    {
        // Off the accept loop: the first steps of a handshake compute.
        await Task.Yield();
        try
        {
            using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            deadline.CancelAfter(_options.ConnectTimeout);
            TlsConnection connection = await TlsHandshake.AcceptAsync(socket, _tls, _options, deadline.Token).ConfigureAwait(false);
            if (_ready.Writer.TryWrite(connection)) return;
            connection.Abort();
            connection.Dispose();
            if (!_stop.IsCancellationRequested)
                _refusals.Add(new TransportException(TransportStatus.Failed, $"Refused a peer: {socket.Description}: {MostReady} connections wait to be accepted"));
        }
        catch (TransportException e)
        {
            if (_stop.IsCancellationRequested) return;
            _refusals.Add(!pending.Evicted ? e : new TransportException(PeerRefusal.TooManyHandshakes,
                $"Refused a peer: {socket.Description}: the oldest of more than {_tls.MaxPendingHandshakes} open handshakes", e));
        }
        catch (Exception e)
        {
            // Nothing that a peer sends may end the listener.
            socket.Dispose();
            _refusals.Add(new TransportException(PeerRefusal.HandshakeFailed, $"Refused a peer: {socket.Description}: {e.GetType().Name}: {e.Message}", e));
        }
        finally
        {
            lock (_pending) _pending.Remove(pending);
        }
    }

    private sealed class Pending(SocketConnection socket)
    {
        private volatile bool _evicted;

        public bool Evicted => _evicted;

        public void Evict()
        {
            _evicted = true;
            socket.Abort();
        }
    }
}
