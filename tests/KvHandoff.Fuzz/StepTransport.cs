using System.Threading.Channels;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>Connections inside one process whose bytes pass through a <see cref="StepNetwork"/>.</summary>
internal sealed class StepTransport(string name, StepNetwork network) : ITransport
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Listener> _listeners = [];

    public string Name => name;

    public Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        var listener = new Listener(this, endpoint, options);
        lock (_gate)
        {
            if (!_listeners.TryAdd(endpoint.Host, listener)) throw new TransportException(TransportStatus.Failed, $"Cannot listen on {endpoint}: the name is taken");
        }

        return Task.FromResult<ITransportListener>(listener);
    }

    public Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        Listener? listener;
        lock (_gate) _listeners.TryGetValue(endpoint.Host, out listener);
        if (listener is null) throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: nobody listens on it");
        LoopbackStream up = new(), arrivedUp = new(), down = new(), arrivedDown = new();
        var connecting = new LoopbackConnection(arrivedDown, up, $"{name} -> {endpoint.Host}", options);
        var accepted = new LoopbackConnection(arrivedUp, down, $"{name} {endpoint.Host} <-", listener.Options);
        if (!listener.TryAdd(accepted)) throw new TransportException(TransportStatus.Failed, $"Cannot connect to {endpoint}: it was closed");
        network.Add(up, arrivedUp, down, arrivedDown);
        return Task.FromResult<IConnection>(connecting);
    }

    private sealed class Listener(StepTransport owner, TransportEndpoint endpoint, TransportOptions options) : ITransportListener
    {
        private readonly Channel<LoopbackConnection> _waiting = Channel.CreateUnbounded<LoopbackConnection>();

        public TransportEndpoint Endpoint => endpoint;

        internal TransportOptions Options => options;

        internal bool TryAdd(LoopbackConnection connection) => _waiting.Writer.TryWrite(connection);

        public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken)
        {
            while (await _waiting.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                if (_waiting.Reader.TryRead(out LoopbackConnection? connection)) return connection;
            }

            return null;
        }

        public ValueTask DisposeAsync()
        {
            lock (owner._gate) owner._listeners.Remove(endpoint.Host);
            _waiting.Writer.TryComplete();
            while (_waiting.Reader.TryRead(out LoopbackConnection? unaccepted)) unaccepted.Abort();
            return ValueTask.CompletedTask;
        }
    }
}
