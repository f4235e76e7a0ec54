using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>Listening and connected TCP sockets, for the transports that run over them.</summary>
internal static class TcpSockets
{
    private const int Backlog = 512;

    /// <summary>A listening socket.</summary>
    /// <param name="endpoint">Where.</param>
    /// <param name="scheme">The scheme that the endpoint has to have.</param>
    /// <param name="encrypted">False: other hosts are let in only when <see cref="TransportOptions.AllowRemotePlaintext"/> says so.</param>
    /// <param name="options">Settings.</param>
    /// <param name="cancellationToken">Cancels name resolution.</param>
    /// <exception cref="TransportException">The address is taken, unknown or not allowed.</exception>
    public static async Task<(Socket Socket, TransportEndpoint Bound)> ListenAsync(
        TransportEndpoint endpoint, string scheme, bool encrypted, TransportOptions options, CancellationToken cancellationToken)
    {
        IPAddress address = (await ResolveAsync(endpoint, scheme, "listen on", cancellationToken).ConfigureAwait(false))[0];
        if (!encrypted && !IPAddress.IsLoopback(address) && !options.AllowRemotePlaintext)
            throw new TransportException(TransportStatus.Failed,
                $"Refused to listen on {endpoint}: {address} is not a loopback address and {scheme} is not encrypted. "
                + $"Listen on 127.0.0.1 or ::1, or set {nameof(TransportOptions)}.{nameof(TransportOptions.AllowRemotePlaintext)}.");

        Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // Before listen: accepted sockets inherit the sizes, and the window scale is fixed in the handshake.
            ApplyBuffers(socket, options);
            socket.Bind(new IPEndPoint(address, endpoint.Port));
            socket.Listen(Backlog);
            return (socket, endpoint with { Port = ((IPEndPoint)socket.LocalEndPoint!).Port });
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new TransportException(SocketErrors.ToStatus(e.SocketErrorCode), $"Cannot listen on {endpoint}: {e.Message}", e);
        }
    }

    /// <summary>A connected socket; <paramref name="deadline"/> ends the attempt.</summary>
    /// <exception cref="TransportException">Nobody listens there.</exception>
    /// <exception cref="OperationCanceledException">The deadline came first.</exception>
    public static async Task<Socket> ConnectAsync(TransportEndpoint endpoint, string scheme, TransportOptions options, CancellationToken deadline)
    {
        SocketException? last = null;
        foreach (IPAddress address in await ResolveAsync(endpoint, scheme, "connect to", deadline).ConfigureAwait(false))
        {
            Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                ApplyBuffers(socket, options);
                await ConnectAsync(socket, new IPEndPoint(address, endpoint.Port), deadline).ConfigureAwait(false);
                return socket;
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

    /// <summary>What a connect that ran out of time throws.</summary>
    public static TransportException TimedOut(TransportEndpoint endpoint, TransportOptions options, Exception inner) => new(
        TransportStatus.TimedOut, $"Cannot connect to {endpoint}: no answer within {options.ConnectTimeout.TotalSeconds} s", inner);

    /// <summary>What a transport that is given another one's endpoint throws.</summary>
    public static void RequireScheme(TransportEndpoint endpoint, string scheme, string purpose)
    {
        if (endpoint.Scheme != scheme)
            throw new TransportException(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: the scheme is '{endpoint.Scheme}', not '{scheme}'");
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

    private static void ApplyBuffers(Socket socket, TransportOptions options)
    {
        if (options.SendBufferBytes > 0) socket.SendBufferSize = options.SendBufferBytes;
        if (options.ReceiveBufferBytes > 0) socket.ReceiveBufferSize = options.ReceiveBufferBytes;
    }

    private static async Task<IPAddress[]> ResolveAsync(TransportEndpoint endpoint, string scheme, string purpose, CancellationToken cancellationToken)
    {
        RequireScheme(endpoint, scheme, purpose);
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
