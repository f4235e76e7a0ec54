using System.Collections.Immutable;
using System.Globalization;
using System.Net.Sockets;
using System.Threading.Channels;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>
/// Accepts sockets over which two workers find each other, side by side, so that a peer that stalls keeps nobody else out. UCX has listeners of its own; closing one of 1.13 while somebody
/// connects ends the process, and not every network has them.
/// </summary>
internal sealed class UcxListener : ITransportListener, IPeerRefusals
{
    private const int HandshakesAtOnce = 256, UnclaimedConnections = 512;
    private static readonly TimeSpan LongestHandshake = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly UcxContext _context;
    private readonly SocketListener _sockets;
    private readonly TransportOptions _options;
    private readonly TimeSpan _handshakeTimeout;
    private readonly PeerRefusalLog _refusals = new();
    private readonly List<nint> _registered = [];
    private readonly ImmutableArray<UcxRemoteRegion> _shared;
    private readonly SemaphoreSlim _handshakes = new(HandshakesAtOnce);
    private readonly Channel<IConnection> _ready = Channel.CreateBounded<IConnection>(UnclaimedConnections);
    private readonly CancellationTokenSource _closing = new();
    private int _users = 1;

    /// <param name="context">Of all connections.</param>
    /// <param name="sockets">Where peers connect; owned.</param>
    /// <param name="options">Regions, timeouts.</param>
    internal UcxListener(UcxContext context, SocketListener sockets, TransportOptions options)
    {
        _context = context;
        _sockets = sockets;
        _options = options;
        _handshakeTimeout = options.ConnectTimeout > TimeSpan.Zero && options.ConnectTimeout < LongestHandshake ? options.ConnectTimeout : LongestHandshake;
        try
        {
            _shared = Register(options.UcxOneSided == false ? [] : options.RemoteRegions);
        }
        catch
        {
            Leave();
            throw;
        }

        _ = AcceptLoopAsync();
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
        if (!_ready.Writer.TryComplete()) return;
        await _closing.CancelAsync().ConfigureAwait(false);
        await _sockets.DisposeAsync().ConfigureAwait(false);
        while (_ready.Reader.TryRead(out IConnection? unclaimed)) unclaimed.Dispose();
        Leave();
    }

    private async Task AcceptLoopAsync()
    {
        try
        {
            while (true)
            {
                await _handshakes.WaitAsync(_closing.Token).ConfigureAwait(false);
                if (await _sockets.AcceptAsync(_closing.Token).ConfigureAwait(false) is not SocketConnection socket) return;
                _ = Task.Run(() => HandshakeAsync(socket));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or SocketException or TransportException)
        {
            // The listener is closed.
        }
    }

    /// <summary>One peer's handshake. What is wrong with a peer ends its socket, and nobody else hears of it.</summary>
    private async Task HandshakeAsync(SocketConnection socket)
    {
        UcxConnection? connection = null;
        bool greeted = false;
        try
        {
            using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
            deadline.CancelAfter(_handshakeTimeout);
            (UcxGreeting peer, string? error) = await UcxBootstrap.ReceiveAsync(socket, 0, deadline.Token).ConfigureAwait(false);
            if (error is not null) throw new TransportException(TransportStatus.Failed, error);
            string description = string.Create(CultureInfo.InvariantCulture, $"ucx {Endpoint.Host}:{Endpoint.Port} <- {socket.Remote}");
            connection = new UcxConnection(_context, socket, _shared, description, _options);
            Interlocked.Increment(ref _users);
            _ = LeaveAfterAsync(connection);
            connection.Open(peer);
            greeted = true;
            TransportResult sent = await socket.SendAsync(connection.Greeting(), deadline.Token).ConfigureAwait(false);
            if (!sent.IsOk) throw new TransportException(sent.Status, sent.Message!);
            await connection.WireAsync(deadline.Token).ConfigureAwait(false);
            await _ready.Writer.WriteAsync(connection, _closing.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or ChannelClosedException or SocketException)
        {
            if (e is TransportException refusal)
            {
                // Such as no device that reaches the peer's: it cannot know otherwise.
                _refusals.Add(new TransportException(refusal.Status, $"Refused a peer: {socket.Description}: {refusal.Message}", refusal));
                if (!greeted) await socket.SendAsync(UcxBootstrap.Refuse(refusal.Message), _closing.Token).ConfigureAwait(false);
            }

            connection?.Abort();
            connection?.Dispose();
            if (connection is null) socket.Dispose();
        }
        finally
        {
            _handshakes.Release();
        }
    }

    private ImmutableArray<UcxRemoteRegion> Register(ImmutableArray<MemoryRegion> regions)
    {
        ImmutableArray<UcxRemoteRegion>.Builder shared = ImmutableArray.CreateBuilder<UcxRemoteRegion>(regions.Length);
        foreach (MemoryRegion region in regions)
        {
            (nint handle, byte[] key) = _context.Map(region);
            _registered.Add(handle);
            if (key.Length > UcxBootstrap.MaxKeyBytes)
                throw new TransportException(TransportStatus.Failed, $"UCX packs a remote key of {key.Length} bytes; allowed: {UcxBootstrap.MaxKeyBytes}. Name fewer transports in UCX_TLS");
            shared.Add(new UcxRemoteRegion((ulong)region.Address, region.LengthBytes, key));
        }

        return shared.MoveToImmutable();
    }

    // The memory stays registered until the last connection is torn down: what is in flight then still has a place to go.
    private async Task LeaveAfterAsync(UcxConnection connection)
    {
        await connection.PeerGone.ConfigureAwait(false);
        Leave();
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref _users) != 0) return;
        lock (_gate)
        {
            foreach (nint handle in _registered) _context.Unmap(handle);
            _registered.Clear();
        }
    }
}
