using System.Collections.Immutable;
using System.Globalization;
using System.Net.Sockets;
using System.Numerics;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>
/// Shared memory between two processes of one Linux host: <c>shm:///path</c> or <c>shm://@name</c>. The bytes of a connection pass through
/// rings in a memfd; a listener's <see cref="TransportOptions.SharedRegions"/> can be written in place, see <see cref="ISharedMemoryPeer"/>.
/// </summary>
/// <remarks>
/// Both sides check the other's user id against <see cref="TransportOptions.AllowedUserIds"/>. The ring of a connection takes
/// <see cref="TransportOptions.SendBufferBytes"/> or <see cref="TransportOptions.ReceiveBufferBytes"/> of the connecting side, whichever is more, up to a
/// power of two and to 16 MiB, in each direction; 256 KiB where both are 0.
/// </remarks>
public sealed class SharedMemoryTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "shm";

    private const int Backlog = 512, DefaultCapacityBytes = 256 << 10;

    /// <summary>The one instance; it holds no state.</summary>
    public static SharedMemoryTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Check(endpoint, "listen on");
        if (options.SharedRegions.Length > SharedMemoryBootstrap.MaxRegions)
            throw new TransportException(TransportStatus.Failed,
                $"Cannot listen on {endpoint}: {options.SharedRegions.Length} regions are to be shared; allowed: {SharedMemoryBootstrap.MaxRegions}");
        // A peer that holds the descriptor could otherwise cut the region off under this process.
        foreach (SharedSlab region in options.SharedRegions) RingMemory.TryFixSize(region);
        try
        {
            return Task.FromResult<ITransportListener>(new SharedMemoryListener(SharedMemoryAddress.Bind(endpoint, options, Backlog), endpoint, options));
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            throw new TransportException(TransportStatus.Failed, $"Cannot listen on {endpoint}: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        Check(endpoint, "connect to");
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        Socket? socket = null;
        try
        {
            socket = await SharedMemoryAddress.ConnectAsync(endpoint, deadline.Token).ConfigureAwait(false);
            return await OpenAsync(socket, endpoint, options, deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e)
        {
            socket?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw new TransportException(TransportStatus.TimedOut,
                $"Cannot connect to {endpoint}: no answer within {options.ConnectTimeout.TotalSeconds} s", e);
        }
        catch (Exception e) when (e is SocketException or IOException or OutOfMemoryException)
        {
            socket?.Dispose();
            if (e is TransportException) throw;
            TransportStatus status = e is SocketException s ? SocketErrors.ToStatus(s.SocketErrorCode) : TransportStatus.Failed;
            throw new TransportException(status, $"Cannot connect to {endpoint}: {e.Message}", e);
        }
    }

    private static async Task<IConnection> OpenAsync(Socket socket, TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        SharedMemoryPeerCredentials peer = SharedMemorySocket.Peer(socket);
        if (Refusal(peer, options) is { } refusal) throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: {refusal}");

        int capacityBytes = CapacityBytes(options);
        RingMemory? rings = RingMemory.Create(capacityBytes, out int ringDescriptor);
        List<int> descriptors = [];
        SharedMemoryRegions? regions = null;
        try
        {
            // A listener that refuses this user has answered and closed already: its answer says more than the failure to send.
            bool sent = SharedMemorySocket.TrySend((int)socket.Handle, SharedMemoryBootstrap.Hello(capacityBytes), [ringDescriptor], out string? sendError);
            byte[] reply = new byte[SharedMemoryBootstrap.ReplyBytes];
            string? error = await SharedMemoryBootstrap.ReceiveAsync(socket, reply, descriptors, SharedMemoryBootstrap.MaxRegions, cancellationToken)
                .ConfigureAwait(false);
            if (error is not null && !sent) error = sendError;
            if (error is null) regions = SharedMemoryBootstrap.OpenReply(reply, descriptors, peer.UserId, out error);
            if (regions is null) throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: {error}");

            string description = string.Create(CultureInfo.InvariantCulture, $"shm {Environment.ProcessId} -> {endpoint.Host} ({peer.ProcessId})");
            SharedMemoryConnection connection = new(socket, rings, createdRings: true, regions, sharesRegions: false, description, options);
            (rings, regions) = (null, null);
            return connection;
        }
        finally
        {
            SharedMemorySocket.CloseDescriptor(ringDescriptor);
            SharedMemoryBootstrap.CloseAll(descriptors);
            regions?.Dispose();
            rings?.Dispose();
        }
    }

    /// <summary>Why <paramref name="peer"/> may not be talked to, or null.</summary>
    internal static string? Refusal(SharedMemoryPeerCredentials peer, TransportOptions options)
    {
        ImmutableArray<uint> allowed = Allowed(options);
        return allowed.Contains(peer.UserId) ? null
            : $"the process {peer.ProcessId} at the other end runs as user id {peer.UserId}; allowed: {string.Join(", ", allowed)}";
    }

    /// <summary>The user ids that may be at the other end.</summary>
    internal static ImmutableArray<uint> Allowed(TransportOptions options) =>
        options.AllowedUserIds.IsDefaultOrEmpty ? [SharedMemorySocket.OwnUserId] : options.AllowedUserIds;

    private static int CapacityBytes(TransportOptions options)
    {
        int asked = Math.Max(options.SendBufferBytes, options.ReceiveBufferBytes);
        return asked <= 0 ? DefaultCapacityBytes
            : (int)BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(asked, RingLayout.MinCapacityBytes, RingLayout.MaxCapacityBytes));
    }

    private static void Check(TransportEndpoint endpoint, string purpose)
    {
        string? error = endpoint.Scheme != Scheme ? $"the scheme is '{endpoint.Scheme}', not '{Scheme}'"
            : !FutexWord.IsSupported ? "shared memory needs memfd and futex, which only Linux on 64-bit processors has"
            : string.IsNullOrEmpty(endpoint.Host) || endpoint.Host[0] is not ('/' or '@') ? $"'{endpoint.Host}' is neither an absolute path nor @ and a name"
            : null;
        if (error is not null) throw new TransportException(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: {error}");
    }
}
