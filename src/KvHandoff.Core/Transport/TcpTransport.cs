using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>TCP without encryption: <c>tcp://host:port</c>. It listens on loopback only, unless the options allow more.</summary>
public sealed class TcpTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "tcp";

    /// <summary>The one instance; it holds no state.</summary>
    public static TcpTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public async Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        (Socket socket, TransportEndpoint bound) = await TcpSockets.ListenAsync(endpoint, Scheme, encrypted: false, options, cancellationToken).ConfigureAwait(false);
        return new SocketListener(socket, bound, accepted => Wrap(accepted, options));
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        try
        {
            return Wrap(await TcpSockets.ConnectAsync(endpoint, Scheme, options, deadline.Token).ConfigureAwait(false), options);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw TcpSockets.TimedOut(endpoint, options, e);
        }
    }

    private static SocketConnection Wrap(Socket socket, TransportOptions options)
    {
        socket.NoDelay = options.NoDelay;
        return new SocketConnection(socket, Scheme, options);
    }
}
