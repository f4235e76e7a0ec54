using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>Accepts connections on a listening stream socket, which it owns.</summary>
internal sealed class SocketListener(Socket socket, TransportEndpoint endpoint, Func<Socket, IConnection> wrap) : ITransportListener
{
    private volatile bool _closed;

    public TransportEndpoint Endpoint => endpoint;

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
        socket.Dispose();
        return ValueTask.CompletedTask;
    }
}
