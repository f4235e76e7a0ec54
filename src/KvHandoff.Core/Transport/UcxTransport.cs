using System.Globalization;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>
/// UCX: <c>ucx://host:port</c>, over RDMA (InfiniBand, RoCE, EFA), TCP or the shared memory of one host, whatever UCX finds. Besides streams it has writes into the listener's
/// <see cref="TransportOptions.RemoteRegions"/> (<see cref="IRemoteMemoryPeer"/>). It takes <c>libucp.so.0</c>, version 1.13 or newer, when it is first used.
/// </summary>
/// <remarks>
/// Not encrypted: it listens on loopback only, unless <see cref="TransportOptions.AllowRemotePlaintext"/> says otherwise. The bytes that a side takes in before its caller does are
/// <see cref="TransportOptions.ReceiveBufferBytes"/> or <see cref="TransportOptions.SendBufferBytes"/>, whichever is more, from 16 KiB to 16 MiB; 1 MiB where both are 0.
/// </remarks>
public sealed class UcxTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "ucx";

    /// <summary>The one instance; it holds no state.</summary>
    public static UcxTransport Instance { get; } = new();

    /// <summary>Why UCX cannot be used on this machine; null when it can.</summary>
    public static string? Unavailable => UcxLibrary.Missing;

    /// <summary>The version of UCX that was found; empty when there is none.</summary>
    public static string LibraryVersion => UcxLibrary.Version;

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public async Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        if (options.RemoteRegions.Length > UcxBootstrap.MaxRegions)
            throw new TransportException(TransportStatus.Failed, $"Cannot listen on {endpoint}: {options.RemoteRegions.Length} regions are to be written by peers; allowed: {UcxBootstrap.MaxRegions}");
        UcxContext context = Context(endpoint, options, "listen on");
        (Socket socket, TransportEndpoint bound) = await TcpSockets.ListenAsync(endpoint, Scheme, encrypted: false, Plain(options), cancellationToken).ConfigureAwait(false);
        var sockets = new SocketListener(socket, bound, accepted => Wrap(accepted, options));
        try
        {
            return new UcxListener(context, sockets, options);
        }
        catch (TransportException e)
        {
            await sockets.DisposeAsync().ConfigureAwait(false);
            throw new TransportException(e.Status, $"Cannot listen on {endpoint}: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        UcxContext context = Context(endpoint, options, "connect to");
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        SocketConnection? socket = null;
        UcxConnection? connection = null;
        try
        {
            socket = Wrap(await TcpSockets.ConnectAsync(endpoint, Scheme, Plain(options), deadline.Token).ConfigureAwait(false), options);
            string description = string.Create(CultureInfo.InvariantCulture, $"ucx {Environment.ProcessId} -> {endpoint.Host}:{endpoint.Port}");
            // Making a worker opens devices, which takes milliseconds.
            connection = await Task.Run(() => new UcxConnection(context, socket, [], description, options), CancellationToken.None).ConfigureAwait(false);
            TransportResult sent = await socket.SendAsync(connection.Greeting(), deadline.Token).ConfigureAwait(false);
            deadline.Token.ThrowIfCancellationRequested();
            if (!sent.IsOk) throw new TransportException(sent.Status, $"Cannot connect to {endpoint}: {sent.Message}");
            (UcxGreeting peer, string? error) = await UcxBootstrap.ReceiveAsync(socket, UcxBootstrap.MaxRegions, deadline.Token).ConfigureAwait(false);
            if (error is not null) throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: {error}");
            connection.Open(peer);
            await connection.WireAsync(deadline.Token).ConfigureAwait(false);
            return connection;
        }
        catch (Exception e)
        {
            connection?.Abort();
            connection?.Dispose();
            if (connection is null) socket?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            if (e is OperationCanceledException) throw TcpSockets.TimedOut(endpoint, options, e);
            throw;
        }
    }

    private static UcxContext Context(TransportEndpoint endpoint, TransportOptions options, string purpose)
    {
        TcpSockets.RequireScheme(endpoint, Scheme, purpose);
        try
        {
            return UcxContext.Of(options.UcxTransports);
        }
        catch (TransportException e)
        {
            throw new TransportException(e.Status, $"Cannot {purpose} {endpoint}: {e.Message}", e);
        }
    }

    // The buffers that are asked for are the window's, not those of the socket that carries a greeting.
    private static TransportOptions Plain(TransportOptions options) => options with { SendBufferBytes = 0, ReceiveBufferBytes = 0 };

    private static SocketConnection Wrap(Socket socket, TransportOptions options)
    {
        socket.NoDelay = true;
        return new SocketConnection(socket, Scheme, options);
    }
}
