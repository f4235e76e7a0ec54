using System.Collections.Concurrent;
using System.Threading.Channels;

namespace KvHandoff.Transport;

/// <summary>
/// Connections inside one process: <c>loopback://name</c>. Bounded queues in memory, no socket and no timer, so that what a test does with
/// it depends on its own calls alone.
/// </summary>
/// <remarks>A name is held by one listener of the process at a time. Nothing else can reach it, so there is nothing to check.</remarks>
public sealed class LoopbackTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "loopback";

    private const int Backlog = 512;

    private readonly ConcurrentDictionary<string, Listener> _listeners = new(StringComparer.Ordinal);
    private long _connections;

    private LoopbackTransport() { }

    /// <summary>The one instance; it knows every listener of the process.</summary>
    public static LoopbackTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TcpSockets.RequireScheme(endpoint, Scheme, "listen on");
        cancellationToken.ThrowIfCancellationRequested();
        Listener listener = new(this, endpoint, options);
        if (!_listeners.TryAdd(endpoint.Host, listener))
            throw new TransportException(TransportStatus.Failed, $"Cannot listen on {endpoint}: the name is taken in this process");
        return Task.FromResult<ITransportListener>(listener);
    }

    /// <inheritdoc/>
    public Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TcpSockets.RequireScheme(endpoint, Scheme, "connect to");
        cancellationToken.ThrowIfCancellationRequested();
        if (!_listeners.TryGetValue(endpoint.Host, out Listener? listener))
            throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: nobody listens on it in this process");

        long number = Interlocked.Increment(ref _connections);
        LoopbackStream up = new(), down = new();
        LoopbackConnection connecting = new(down, up, $"{Scheme} connection {number} -> {endpoint.Host}", options);
        LoopbackConnection accepted = new(up, down, $"{Scheme} {endpoint.Host} <- connection {number}", listener.Options);
        if (!listener.TryAdd(accepted))
            throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: it was closed, or {Backlog} connections wait to be accepted");
        return Task.FromResult<IConnection>(connecting);
    }

    private sealed class Listener(LoopbackTransport owner, TransportEndpoint endpoint, TransportOptions options) : ITransportListener
    {
        private readonly Channel<LoopbackConnection> _waiting = Channel.CreateBounded<LoopbackConnection>(Backlog);

        public TransportEndpoint Endpoint => endpoint;

        public TransportOptions Options => options;

        public bool TryAdd(LoopbackConnection connection) => _waiting.Writer.TryWrite(connection);

        public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken)
        {
            while (await _waiting.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
                if (_waiting.Reader.TryRead(out LoopbackConnection? connection)) return connection;
            return null;
        }

        public ValueTask DisposeAsync()
        {
            owner._listeners.TryRemove(new KeyValuePair<string, Listener>(endpoint.Host, this));
            _waiting.Writer.TryComplete();
            while (_waiting.Reader.TryRead(out LoopbackConnection? unaccepted)) unaccepted.Abort();
            return ValueTask.CompletedTask;
        }
    }
}
