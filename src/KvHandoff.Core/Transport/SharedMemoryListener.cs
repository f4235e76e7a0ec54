using System.Globalization;
using System.Net.Sockets;
using System.Threading.Channels;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>Accepts bootstrap sockets and does their handshakes side by side, so that a peer that stalls keeps nobody else out.</summary>
internal sealed class SharedMemoryListener : ITransportListener
{
    private const int HandshakesAtOnce = 256, UnclaimedConnections = 256;
    private static readonly TimeSpan LongestHandshake = TimeSpan.FromSeconds(5);

    private readonly Socket _socket;
    private readonly TransportOptions _options;
    private readonly TimeSpan _handshakeTimeout;
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _handshakes = new(HandshakesAtOnce);
    private readonly Channel<IConnection> _ready = Channel.CreateBounded<IConnection>(UnclaimedConnections);

    internal SharedMemoryListener(Socket socket, TransportEndpoint endpoint, TransportOptions options)
    {
        _socket = socket;
        _options = options;
        _handshakeTimeout = options.ConnectTimeout > TimeSpan.Zero && options.ConnectTimeout < LongestHandshake ? options.ConnectTimeout : LongestHandshake;
        Endpoint = endpoint;
        _ = AcceptLoopAsync();
    }

    public TransportEndpoint Endpoint { get; }

    public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken)
    {
        while (await _ready.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            if (_ready.Reader.TryRead(out IConnection? connection)) return connection;
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await _closing.CancelAsync().ConfigureAwait(false);
        _ready.Writer.TryComplete();
        while (_ready.Reader.TryRead(out IConnection? unclaimed)) unclaimed.Dispose();
    }

    private async Task AcceptLoopAsync()
    {
        while (!_closing.IsCancellationRequested)
        {
            try
            {
                await _handshakes.WaitAsync(_closing.Token).ConfigureAwait(false);
                _ = HandshakeAsync(await _socket.AcceptAsync(_closing.Token).ConfigureAwait(false));
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // A peer that was gone before it was accepted costs nobody else; running out of descriptors passes, but not at once.
                _handshakes.Release();
                await Task.Delay(10).ConfigureAwait(false);
            }
        }
    }

    /// <summary>One peer's handshake. What is wrong with a peer is told to that peer, and nobody else hears of it.</summary>
    private async Task HandshakeAsync(Socket socket)
    {
        IConnection? connection = null;
        try
        {
            using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
            deadline.CancelAfter(_handshakeTimeout);
            connection = await OpenAsync(socket, deadline.Token).ConfigureAwait(false);
            if (connection is null) socket.Dispose();
            else await _ready.Writer.WriteAsync(connection, _closing.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or IOException or ObjectDisposedException or ChannelClosedException)
        {
            connection?.Dispose();
            socket.Dispose();
        }
        finally
        {
            _handshakes.Release();
        }
    }

    private async Task<IConnection?> OpenAsync(Socket socket, CancellationToken cancellationToken)
    {
        int fd = (int)socket.Handle;
        SharedMemoryPeerCredentials peer = SharedMemorySocket.Peer(socket);
        if (SharedMemoryTransport.Refusal(peer, _options) is not null)
        {
            _ = SharedMemorySocket.TrySend(fd, SharedMemoryBootstrap.Reply(SharedMemoryBootstrap.UserRefused, []), [], out _);
            return null;
        }

        List<int> descriptors = [];
        RingMemory? rings = null;
        try
        {
            byte[] hello = new byte[SharedMemoryBootstrap.HelloBytes];
            string? error = await SharedMemoryBootstrap.ReceiveAsync(socket, hello, descriptors, 1, cancellationToken).ConfigureAwait(false);
            if (error is null) rings = SharedMemoryBootstrap.OpenHello(hello, descriptors, out error);
            if (rings is null)
            {
                _ = SharedMemorySocket.TrySend(fd, SharedMemoryBootstrap.Reply(SharedMemoryBootstrap.HelloRefused, []), [], out _);
                return null;
            }

            int[] shared = [.. _options.SharedRegions.Select(r => r.FileDescriptor)];
            if (!SharedMemorySocket.TrySend(fd, SharedMemoryBootstrap.Reply(SharedMemoryBootstrap.Accepted, _options.SharedRegions), shared, out _))
                return null;
            string description = string.Create(CultureInfo.InvariantCulture, $"shm {Environment.ProcessId} at {Endpoint.Host} <- ({peer.ProcessId})");
            SharedMemoryConnection connection = new(socket, rings, createdRings: false, SharedMemoryRegions.None, shared.Length > 0, description, _options);
            rings = null;
            return connection;
        }
        finally
        {
            SharedMemoryBootstrap.CloseAll(descriptors);
            rings?.Dispose();
        }
    }
}
