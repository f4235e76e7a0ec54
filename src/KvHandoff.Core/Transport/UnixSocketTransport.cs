using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>
/// Stream sockets of one host: <c>unix:///path</c>, or <c>unix://@name</c> for an abstract name without a file (Linux only).
/// Both sides check the other's user id (<see cref="TransportOptions.AllowedUserIds"/>).
/// </summary>
/// <remarks>
/// The file of a listener has mode 0600. A socket file that nobody answers at is replaced, a live one and any other file are not.
/// An abstract name has no permissions of its own: anyone of the same network namespace can reach it, and the user id alone keeps them out.
/// </remarks>
public sealed class UnixSocketTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "unix";

    private const int Backlog = 512, ConnectSliceMilliseconds = 50;

    /// <summary>The one instance; it holds no state.</summary>
    public static UnixSocketTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        Check(endpoint, "listen on");
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(endpoint.Host[0] == '@' ? ListenOnName(endpoint, options) : ListenOnPath(endpoint, options));
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        Check(endpoint, "connect to");
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        Socket socket = New();
        try
        {
            ApplyBuffers(socket, options);
            await Task.Factory.StartNew(() => Connect(socket, endpoint, deadline.Token), CancellationToken.None,
                TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
            PeerCredentials peer = PeerCredentials.Of(socket);
            if (peer.Refusal(options.AllowedUserIds) is { } refusal)
                throw new TransportException(PeerRefusal.ForeignUser, $"Refused to talk to the listener at {endpoint}: {refusal}");
            return Wrap(socket, $"{endpoint.Host} (process {peer.ProcessId}, user {peer.UserId})", options);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new TransportException(SocketErrors.ToStatus(e.SocketErrorCode), $"Cannot connect to {endpoint}: {e.Message}", e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            socket.Dispose();
            throw TcpSockets.TimedOut(endpoint, options, e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static ITransportListener ListenOnName(TransportEndpoint endpoint, TransportOptions options)
    {
        Socket socket = New();
        try
        {
            return Start(socket, endpoint, options, closing: null);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw CannotListen(endpoint, e.Message, e);
        }
    }

    private static ITransportListener ListenOnPath(TransportEndpoint endpoint, TransportOptions options)
    {
        string path = endpoint.Host;
        Socket socket = New();
        try
        {
            // Between another listener's bind and its listen its file looks stale: the kernel frees this name with the process.
            using Socket turn = TakeTurn(endpoint);
            RemoveStale(endpoint);
            SocketFile.RestrictToOwner(socket);
            SocketFile.Identity? file = null;
            ITransportListener listener = Start(socket, endpoint, options, () => { if (file is { } own) SocketFile.Remove(path, own); });
            file = SocketFile.Find(path);
            return listener;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw CannotListen(endpoint, e.Message, e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static SocketListener Start(Socket socket, TransportEndpoint endpoint, TransportOptions options, Action? closing)
    {
        ApplyBuffers(socket, options);
        socket.Bind(new SocketFileEndPoint(endpoint.Host));
        socket.Listen(Backlog);
        return new SocketListener(socket, endpoint, accepted => Admit(accepted, endpoint, options), closing);
    }

    private static SocketConnection Admit(Socket accepted, TransportEndpoint endpoint, TransportOptions options)
    {
        PeerCredentials peer = PeerCredentials.Of(accepted);
        if (peer.Refusal(options.AllowedUserIds) is { } refusal)
            throw new TransportException(PeerRefusal.ForeignUser, $"Refused a peer at {endpoint}: {refusal}");
        return Wrap(accepted, $"{endpoint.Host} <- process {peer.ProcessId}, user {peer.UserId}", options);
    }

    private static void RemoveStale(TransportEndpoint endpoint)
    {
        string path = endpoint.Host;
        if (SocketFile.Find(path) is not { } found) return;
        if (!found.IsSocket) throw CannotListen(endpoint, "a file that is no socket is there, and is left alone", null);
        using Socket probe = New();
        try
        {
            probe.SendTimeout = ConnectSliceMilliseconds;
            probe.Connect(new SocketFileEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            SocketFile.Remove(path, found);
            return;
        }
        catch (SocketException)
        {
            // No answer, or no permission to ask: that is no proof that nobody is there.
        }
        throw CannotListen(endpoint, "another process listens there", null);
    }

    private static Socket TakeTurn(TransportEndpoint endpoint)
    {
        Socket turn = New();
        uint hash = 2166136261;
        foreach (char c in endpoint.Host) hash = (hash ^ c) * 16777619;
        try
        {
            turn.Bind(new SocketFileEndPoint($"@kvhandoff-listen-{hash:x8}"));
            return turn;
        }
        catch (SocketException e)
        {
            turn.Dispose();
            throw CannotListen(endpoint, "another process is about to listen there", e);
        }
    }

    private static void Connect(Socket socket, TransportEndpoint endpoint, CancellationToken deadline)
    {
        var remote = new SocketFileEndPoint(endpoint.Host);
        // A full accept queue blocks a connect, and nothing wakes it but its own send timeout: ask again in slices.
        socket.SendTimeout = ConnectSliceMilliseconds;
        while (true)
        {
            deadline.ThrowIfCancellationRequested();
            try
            {
                socket.Connect(remote);
                break;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.TimedOut)
            {
            }
        }
        socket.SendTimeout = 0;
    }

    private static SocketConnection Wrap(Socket socket, string addresses, TransportOptions options) => new(socket, Scheme, options, addresses);

    private static Socket New() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private static void ApplyBuffers(Socket socket, TransportOptions options)
    {
        if (options.SendBufferBytes > 0) socket.SendBufferSize = options.SendBufferBytes;
        if (options.ReceiveBufferBytes > 0) socket.ReceiveBufferSize = options.ReceiveBufferBytes;
    }

    private static void Check(TransportEndpoint endpoint, string purpose)
    {
        TcpSockets.RequireScheme(endpoint, Scheme, purpose);
        if (!OperatingSystem.IsLinux())
            throw new TransportException(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: {Scheme} checks peers by SO_PEERCRED, which only Linux has");
    }

    private static TransportException CannotListen(TransportEndpoint endpoint, string reason, Exception? inner) =>
        new(TransportStatus.Failed, $"Cannot listen on {endpoint}: {reason}", inner);
}
