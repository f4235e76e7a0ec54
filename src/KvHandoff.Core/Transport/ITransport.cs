namespace KvHandoff.Transport;

/// <summary>A way to carry bytes between two processes. It knows nothing of what the bytes mean. Thread-safe.</summary>
public interface ITransport
{
    /// <summary>The scheme in front of its endpoints, such as <c>tcp</c>.</summary>
    string Name { get; }

    /// <summary>Starts to listen.</summary>
    /// <exception cref="TransportException">The address is taken, unknown, or not allowed by <paramref name="options"/>.</exception>
    Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken);

    /// <summary>Connects to a listener.</summary>
    /// <exception cref="TransportException">Nobody listens there, or not within <see cref="TransportOptions.ConnectTimeout"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken);
}

/// <summary>Hands out the connections that arrive at one endpoint. Thread-safe.</summary>
public interface ITransportListener : IAsyncDisposable
{
    /// <summary>Where it listens, with the real port when port 0 was asked for.</summary>
    TransportEndpoint Endpoint { get; }

    /// <summary>The next connection, or null once the listener is closed.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; the listener goes on.</exception>
    ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken);
}
