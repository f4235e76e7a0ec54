using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>The first bytes of a connection, on both sides.</summary>
internal static class Handshake
{
    internal static (ITransport Transport, TransportEndpoint Address) Resolve(string endpoint)
    {
        if (!TransportEndpoint.TryParse(endpoint, out TransportEndpoint address, out string? error))
            throw new ArgumentException($"Endpoint \"{endpoint}\": {error}", nameof(endpoint));
        if (!Transports.TryGet(address.Scheme, out ITransport? transport))
            throw new ArgumentException($"Endpoint \"{endpoint}\": no transport is called \"{address.Scheme}\"; known: {string.Join(", ", Transports.Schemes)}.", nameof(endpoint));
        return (transport!, address);
    }

    internal static async Task<TransportResult> SendPrefaceAsync(IConnection connection, ConnectionPreface preface, CancellationToken cancellationToken)
    {
        var bytes = new byte[ConnectionPreface.Bytes];
        preface.Write(bytes);
        return await connection.SendAsync(bytes, cancellationToken).ConfigureAwait(false);
    }

    internal static async Task<(ConnectionPreface Preface, WireError? Error)> ReadPrefaceAsync(IConnection connection, CancellationToken cancellationToken)
    {
        var bytes = new byte[ConnectionPreface.Bytes];
        TransportResult got;
        try
        {
            got = await connection.ReceiveAsync(bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            got = new TransportResult(TransportStatus.TimedOut, "No preface came in time.");
        }

        if (!got.IsOk) return (default, new WireError(WireErrorCode.Truncated, $"The connection ended before its preface of {bytes.Length} bytes: {got.Status} {got.Message}"));
        WireError? error = ConnectionPreface.TryRead(bytes, out ConnectionPreface preface);
        return (preface, error);
    }

    internal static Hello HelloOf(CachePart part, KvSenderOptions options) =>
        new(part.Layout, options.Name, options.Streams) { Shard = part.IsAll ? default : ShardCodec.Write(part) };

    /// <summary>The part of the model that a peer's cache is, as it says; the layout that it gives beside must be that part's.</summary>
    internal static WireError? TryReadPart(KvCacheLayout layout, ByteValue shard, out CachePart part)
    {
        part = CachePart.All(layout);
        if (shard.IsEmpty) return null;
        if (ShardCodec.TryRead(shard.Span, out CachePart? read) is { } error) return error;
        if (!read!.Layout.Equals(layout)) return new WireError(WireErrorCode.BadValue, $"The peer's cache is {layout}; the part of a model that it names is {read.Layout}.");
        part = read;
        return null;
    }

    /// <summary>Receiver: waits for a hello that fits the cache, or tells the sender why it does not and returns null.</summary>
    internal static async Task<(Hello Hello, TransferPlan? Plan)?> ReceiveHelloAsync(ControlChannel control, CachePart own, Action<string> report, CancellationToken cancellationToken)
    {
        ControlReadResult read;
        try
        {
            read = await control.ReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            report("No hello came in time.");
            return null;
        }

        WireError? error = read.Error;
        if (error is null)
        {
            if (read.Message is not Hello hello)
                error = new WireError(WireErrorCode.BadValue, $"The first message was {read.Message?.GetType().Name ?? "the end of the stream"}; expected Hello.");
            else if (hello.Streams < 1)
                error = new WireError(WireErrorCode.BadValue, $"The sender asks for {hello.Streams} data connections; at least 1 is needed.");
            else if (hello.IsGroupMember)
                return (hello, null);
            else if ((error = TryReadPart(hello.Layout, hello.Shard, out CachePart part)) is null)
            {
                if (TransferPlan.TryCreate(part, own, out TransferPlan? plan, out string? reason)) return (hello, plan!);
                error = new WireError(WireErrorCode.BadValue, $"Layouts do not match: {reason}");
            }
        }

        report(error.Message);
        await control.SendAsync(new Fault(error.Code, error.Message), CancellationToken.None).ConfigureAwait(false);
        return null;
    }

    /// <summary>Sender: says hello and returns the receiver's welcome.</summary>
    /// <exception cref="HandoffException">The receiver refused, speaks another protocol, or its cache does not match.</exception>
    internal static async Task<(Welcome Welcome, TransferPlan Plan)> GreetAsync(ControlChannel control, Hello hello, CachePart own, CancellationToken cancellationToken)
    {
        await control.SendAsync(hello, cancellationToken).ConfigureAwait(false);
        ControlReadResult read = await control.ReadAsync(cancellationToken).ConfigureAwait(false);
        if (read.Error is not null)
            throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {control.Description} answered with something else than this protocol: {read.Error.Message}");
        switch (read.Message)
        {
            case Welcome welcome:
                if (TryReadPart(welcome.Layout, welcome.Shard, out CachePart part) is { } misfit)
                    throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {control.Description} describes its cache wrongly: {misfit.Message}");
                if (!TransferPlan.TryCreate(own, part, out TransferPlan? plan, out string? reason))
                    throw new HandoffException(HandoffFailure.LayoutMismatch, $"Layouts do not match: {reason}");
                return (welcome, plan!);
            case Fault fault:
                throw new HandoffException(fault.Message.Contains("Layouts do not match", StringComparison.Ordinal) ? HandoffFailure.LayoutMismatch : HandoffFailure.ProtocolMismatch,
                    $"The receiver at {control.Description} refused: {fault.Message}");
            case null:
                throw new HandoffException(HandoffFailure.PeerGone, $"The receiver at {control.Description} closed the connection instead of answering.");
            default:
                throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {control.Description} answered {read.Message.GetType().Name}; expected Welcome.");
        }
    }
}
