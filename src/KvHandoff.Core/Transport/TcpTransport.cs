using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>TCP without encryption: <c>tcp://host:port</c>. It listens on loopback only, unless the options allow more.</summary>
public sealed class TcpTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "tcp";

    private const int Backlog = 512;

    /// <summary>The one instance; it holds no state.</summary>
    public static TcpTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public async Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        IPAddress address = (await ResolveAsync(endpoint, "listen on", cancellationToken).ConfigureAwait(false))[0];
        if (!IPAddress.IsLoopback(address) && !options.AllowRemotePlaintext)
            throw new TransportException(TransportStatus.Failed,
                $"Refused to listen on {endpoint}: {address} is not a loopback address and tcp is not encrypted. "
                + $"Listen on 127.0.0.1 or ::1, or set {nameof(TransportOptions)}.{nameof(TransportOptions.AllowRemotePlaintext)}.");

        Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // Before listen: accepted sockets inherit the sizes, and the window scale is fixed in the handshake.
            ApplyBuffers(socket, options);
            socket.Bind(new IPEndPoint(address, endpoint.Port));
            socket.Listen(Backlog);
            TransportEndpoint bound = endpoint with { Port = ((IPEndPoint)socket.LocalEndPoint!).Port };
            return new SocketListener(socket, bound, accepted => Wrap(accepted, options));
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new TransportException(SocketErrors.ToStatus(e.SocketErrorCode), $"Cannot listen on {endpoint}: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        try
        {
            SocketException? last = null;
            foreach (IPAddress address in await ResolveAsync(endpoint, "connect to", deadline.Token).ConfigureAwait(false))
            {
                Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    ApplyBuffers(socket, options);
                    await ConnectAsync(socket, new IPEndPoint(address, endpoint.Port), deadline.Token).ConfigureAwait(false);
                    return Wrap(socket, options);
                }
                catch (SocketException e)
                {
                    last = e;
                    socket.Dispose();
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            }
            throw new TransportException(SocketErrors.ToStatus(last!.SocketErrorCode), $"Cannot connect to {endpoint}: {last.Message}", last);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TransportException(TransportStatus.TimedOut,
                $"Cannot connect to {endpoint}: no answer within {options.ConnectTimeout.TotalSeconds} s", e);
        }
    }

    /// <summary>
    /// Connects on a thread of its own: an asynchronous connect would leave the descriptor in the runtime's event loop, see
    /// <see cref="SocketReadiness"/>.
    /// </summary>
    private static async Task ConnectAsync(Socket socket, IPEndPoint remote, CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux())
        {
            await socket.ConnectAsync(remote, cancellationToken).ConfigureAwait(false);
            return;
        }

        // Disposal from another thread is what wakes a blocked connect.
        using CancellationTokenRegistration wake = cancellationToken.Register(socket.Dispose);
        try
        {
            await Task.Factory.StartNew(() => socket.Connect(remote), CancellationToken.None,
                TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
            // Connected, and cancelled before this line: the socket is disposed, and the caller is told so.
            wake.Unregister();
            cancellationToken.ThrowIfCancellationRequested();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw;
        }
    }

    private static SocketConnection Wrap(Socket socket, TransportOptions options)
    {
        socket.NoDelay = options.NoDelay;
        return new SocketConnection(socket, Scheme, options);
    }

    private static void ApplyBuffers(Socket socket, TransportOptions options)
    {
        if (options.SendBufferBytes > 0) socket.SendBufferSize = options.SendBufferBytes;
        if (options.ReceiveBufferBytes > 0) socket.ReceiveBufferSize = options.ReceiveBufferBytes;
    }

    private static async Task<IPAddress[]> ResolveAsync(TransportEndpoint endpoint, string purpose, CancellationToken cancellationToken)
    {
        if (endpoint.Scheme != Scheme)
            throw new TransportException(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: the scheme is '{endpoint.Scheme}', not '{Scheme}'");
        if (IPAddress.TryParse(endpoint.Host, out IPAddress? literal)) return [literal];
        try
        {
            IPAddress[] addresses = await Dns.GetHostAddressesAsync(endpoint.Host, cancellationToken).ConfigureAwait(false);
            if (addresses.Length > 0) return addresses;
            throw new SocketException((int)SocketError.HostNotFound);
        }
        catch (SocketException e)
        {
            throw new TransportException(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: {e.Message}", e);
        }
    }
}
