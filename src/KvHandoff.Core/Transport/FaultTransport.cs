namespace KvHandoff.Transport;

/// <summary>
/// Another transport with faults in what is sent, for tests of what stands on it: the tool of the fault lab. A <em>message</em> is one call of
/// Send, SendVectors or SendAsync, or one flush of a control pipe's output.
/// </summary>
/// <remarks>
/// <para>It is called <c>prefix+inner</c>, such as <c>fault+tcp</c>, and so are its endpoints: <see cref="Transports.Register"/> makes sessions find it.
/// Both ends may use it, or one end the inner transport: the bytes between faults are the inner transport's own.</para>
/// <para>Faults happen to what is sent, above any encryption of the inner transport. Memory of the caller is read and never written.</para>
/// </remarks>
/// <param name="inner">Carries the bytes.</param>
/// <param name="plan">Says what happens to them, and records what did.</param>
/// <param name="prefix">First part of the name, lower case letters and digits.</param>
public sealed class FaultTransport(ITransport inner, FaultPlan plan, string prefix = "fault") : ITransport
{
    private int _connected = -1, _accepted = -1;

    /// <inheritdoc/>
    public string Name { get; } = $"{prefix}+{inner.Name}";

    /// <inheritdoc/>
    public async Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TcpSockets.RequireScheme(endpoint, Name, "listen on");
        return new Listener(this, await inner.ListenAsync(endpoint with { Scheme = inner.Name }, options, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TcpSockets.RequireScheme(endpoint, Name, "connect to");
        IConnection connection = await inner.ConnectAsync(endpoint with { Scheme = inner.Name }, options, cancellationToken).ConfigureAwait(false);
        return Wrap(connection, FaultSides.Connecting, ref _connected);
    }

    private IConnection Wrap(IConnection connection, FaultSides side, ref int last) =>
        !plan.Sides.HasFlag(side) ? connection
        : connection is ISharedMemoryPeer window ? new FaultSharedConnection(connection, window, plan, side, Interlocked.Increment(ref last))
        : connection is IRemoteMemoryPeer peer ? new FaultRemoteConnection(connection, peer, plan, side, Interlocked.Increment(ref last))
        : new FaultConnection(connection, plan, side, Interlocked.Increment(ref last));

    private sealed class Listener(FaultTransport owner, ITransportListener listener) : ITransportListener
    {
        public TransportEndpoint Endpoint => listener.Endpoint with { Scheme = owner.Name };

        public async ValueTask<IConnection?> AcceptAsync(CancellationToken cancellationToken) =>
            await listener.AcceptAsync(cancellationToken).ConfigureAwait(false) is { } connection
                ? owner.Wrap(connection, FaultSides.Accepting, ref owner._accepted)
                : null;

        public ValueTask DisposeAsync() => listener.DisposeAsync();
    }
}
