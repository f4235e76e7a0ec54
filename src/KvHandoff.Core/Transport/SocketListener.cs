using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>Accepts connections on a listening stream socket, which it owns.</summary>
/// <param name="socket">Listening.</param>
/// <param name="endpoint">Where.</param>
/// <param name="wrap">Makes the connection, or throws a <see cref="TransportException"/> for a peer that is not let in.</param>
/// <param name="closing">Runs once, before the socket closes.</param>
internal sealed class SocketListener(Socket socket, TransportEndpoint endpoint, Func<Socket, IConnection> wrap, Action? closing = null)
    : ITransportListener, IPeerRefusals
{
    private readonly PeerRefusalLog _refusals = new();
    private volatile bool _closed;
    private int _disposed;

    public TransportEndpoint Endpoint => endpoint;

    public long RefusedPeers => _refusals.Count;

    public TransportException? LastRefusal => _refusals.Last;

    public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken)
    {
        while (!_closed)
        {
            Socket? accepted = null;
            try
            {
                accepted = await socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
                return wrap(accepted);
            }
            catch (ObjectDisposedException) when (_closed)
            {
                accepted?.Dispose();
            }
            catch (TransportException e)
            {
                accepted?.Dispose();
                _refusals.Add(e);
            }
            catch (SocketException e)
            {
                // A peer that was gone before it was accepted costs nobody else; running out of descriptors passes, but not at once.
                accepted?.Dispose();
                if (_closed) break;
                if (e.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
                    await Task.Delay(10, cancellationToken).ConfigureAwait(false);
            }
        }
        return null;
    }

    public ValueTask DisposeAsync()
    {
        _closed = true;
        if (Interlocked.Exchange(ref _disposed, 1) == 0) closing?.Invoke();
        socket.Dispose();
        return ValueTask.CompletedTask;
    }
}
