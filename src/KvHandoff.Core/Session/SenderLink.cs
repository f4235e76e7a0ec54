using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// One life of a sender's connection: the control connection, the data connections with a thread each, and what waits to be sent. It ends once,
/// for one reason; a sender that goes on makes a new one.
/// </summary>
internal sealed class SenderLink : IAsyncDisposable
{
    private readonly ControlChannel _control;
    private readonly List<(IConnection Connection, Thread Thread)> _streams = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Lazy<Task> _disposed;
    private readonly TimeSpan _patience;
    private readonly Action<SenderLink, string> _ended;
    private Task _reading = Task.CompletedTask;
    private string? _endReason;

    private SenderLink(ControlChannel control, Welcome welcome, TransferPlan plan, TimeSpan patience, Action<SenderLink, string> ended)
    {
        _control = control;
        _patience = patience;
        _disposed = new Lazy<Task>(EndAsync);
        _ended = ended;
        Welcome = welcome;
        Plan = plan;
    }

    internal Welcome Welcome { get; }

    internal TransferPlan Plan { get; }

    /// <summary>The receiver's cache as it is mapped here; null where it is not.</summary>
    internal PagedKvCache? Window { get; private set; }

    internal SendQueue Queue { get; } = new();

    internal string Description => _control.Description;

    internal System.Net.EndPoint? Remote => _control.Connection.Remote;

    internal int Streams => _streams.Count;

    /// <summary>Why the link ended; null while it stands.</summary>
    internal string? EndReason => Volatile.Read(ref _endReason);

    internal long DataBytesSent => _streams.Sum(s => s.Connection.Counters.BytesSent);

    /// <summary>Connects, compares the two caches and opens the data connections.</summary>
    /// <exception cref="HandoffException">No connection, another protocol, or caches that do not match.</exception>
    internal static async Task<SenderLink> ConnectAsync(string endpoint, CachePart part, KvSenderOptions options, Action<SenderLink, string> ended, CancellationToken cancellationToken)
    {
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(options.HandshakeTimeout);
        ControlChannel? control = null;
        SenderLink? link = null;
        try
        {
            IConnection connection = await transport.ConnectAsync(address, options.Transport, timeout.Token).ConfigureAwait(false);
            TransportResult sent = await Handshake.SendPrefaceAsync(connection, ConnectionPreface.Control, timeout.Token).ConfigureAwait(false);
            control = new ControlChannel(connection);
            if (!sent.IsOk) throw new HandoffException(HandoffFailure.PeerGone, $"{endpoint} closed the connection at once: {sent.Status} {sent.Message}");
            (Welcome welcome, TransferPlan plan) = await Handshake.GreetAsync(control, Handshake.HelloOf(part, options), part, timeout.Token).ConfigureAwait(false);
            link = new SenderLink(control, welcome, plan, options.HandshakeTimeout, ended);
            link.OpenWindow(connection);
            for (int i = 0; i < Math.Min(options.Streams, welcome.Streams); i++)
            {
                IConnection data = await transport.ConnectAsync(address, options.Transport, timeout.Token).ConfigureAwait(false);
                link.AddStream(data, i);
                sent = await Handshake.SendPrefaceAsync(data, ConnectionPreface.Data(i, welcome.Epoch, welcome.ConnectionToken), timeout.Token).ConfigureAwait(false);
                if (!sent.IsOk) throw new HandoffException(HandoffFailure.PeerGone, $"{endpoint} closed data connection {i} at once: {sent.Status} {sent.Message}");
            }

            return link;
        }
        catch (Exception e)
        {
            if (link is not null) await link.DisposeAsync().ConfigureAwait(false);
            else if (control is not null) await control.DisposeAsync().ConfigureAwait(false);
            if (e is TransportException transportFailure) throw new HandoffException(HandoffFailure.TransportFailed, $"{endpoint}: {transportFailure.Message}", e);
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
                throw new HandoffException(HandoffFailure.Expired, $"{endpoint} did not finish the handshake within {options.HandshakeTimeout.TotalSeconds} s.", e);
            throw;
        }
    }

    /// <summary>Starts to send and to hand messages to <paramref name="handle"/>.</summary>
    internal void Start(Action<ControlMessage> handle)
    {
        foreach ((_, Thread thread) in _streams) thread.Start();
        _reading = ReadAsync(handle);
    }

    /// <summary>Sends a message; a receiver that does not take it in for as long as a handshake may last has gone.</summary>
    internal async Task<bool> SendAsync(ControlMessage message)
    {
        using var patience = new CancellationTokenSource(_patience);
        try
        {
            return await _control.SendAsync(message, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Disconnect($"{_control.Description} has not taken a message for {_patience.TotalSeconds} s.");
            return false;
        }
    }

    /// <summary>Ends the link: wakes the streams, tells the sender.</summary>
    internal void Disconnect(string reason)
    {
        if (Interlocked.CompareExchange(ref _endReason, reason, null) is not null) return;
        foreach ((IConnection connection, _) in _streams) connection.Abort();
        Queue.Close(_streams.Count);
        _control.Abort();
        _ended(this, reason);
    }

    /// <summary>Lets queued sends stop and closes the connections in order; every call completes when that is done.</summary>
    public ValueTask DisposeAsync() => new(_disposed.Value);

    private async Task EndAsync()
    {
        // In order, unless the link had broken: what was said last, an abort or a release, is to arrive.
        Interlocked.CompareExchange(ref _endReason, "The sender was disposed.", null);
        await _stop.CancelAsync().ConfigureAwait(false);
        Queue.Close(_streams.Count);
        foreach ((IConnection connection, Thread thread) in _streams)
        {
            if (thread.IsAlive) await Task.Run(thread.Join).ConfigureAwait(false);
            await connection.DisposeAsync().ConfigureAwait(false);
        }

        await _reading.ConfigureAwait(false);
        await _control.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private void OpenWindow(IConnection connection)
    {
        if (Welcome.Window.IsEmpty || connection is not ISharedMemoryPeer shared) return;
        if (CacheWindow.TryRead(Welcome.Window.Span, Welcome.Layout, shared.MapRegions(), out PagedKvCache? cache) is { } wrong)
            throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {_control.Description} describes its blocks wrongly: {wrong}");
        Window = cache;
    }

    private void AddStream(IConnection connection, int index)
    {
        var thread = new Thread(() => SendFrames(connection)) { IsBackground = true, Name = $"kvhandoff send {index}" };
        _streams.Add((connection, thread));
    }

    private void SendFrames(IConnection connection)
    {
        using var source = new FrameSource(connection, Welcome.Epoch);
        var inside = new List<OutgoingHandoff>();
        while (Queue.TryTake(out SendJob job))
        {
            TransportResult sent = Add(source, job, inside);
            while (sent.IsOk && source.HasRoom && Queue.TryTakeNow(out job)) sent = Add(source, job, inside);
            if (sent.IsOk) sent = source.Flush();
            foreach (OutgoingHandoff handoff in inside) handoff.Use.Exit();
            inside.Clear();
            if (sent.IsOk) continue;
            Disconnect($"A data connection to {_control.Description} ended ({sent.Status}): {sent.Message}");
            return;
        }
    }

    private static TransportResult Add(FrameSource source, in SendJob job, List<OutgoingHandoff> inside)
    {
        if (!job.Handoff.Use.TryEnter()) return TransportResult.Ok;
        inside.Add(job.Handoff);
        try
        {
            job.Handoff.Clock.Longest(HandoffPhase.Queue, job.PublishedAt);
            return source.Add(job.Handoff, job.Piece, job.Frame);
        }
        catch (Exception e)
        {
            // A host that disposes its sequence too early must not take the process with it: the frame may be half written.
            (int layer, int granule) = job.Piece.Locate(job.Frame);
            return new TransportResult(TransportStatus.Failed, $"Sending layer {layer}, granule {granule} threw {e.GetType().Name}: {e.Message}");
        }
    }

    private async Task ReadAsync(Action<ControlMessage> handle)
    {
        string reason = "the receiver closed the control connection";
        try
        {
            while (true)
            {
                ControlReadResult read = await _control.ReadAsync(_stop.Token).ConfigureAwait(false);
                if (read.Error is not null)
                {
                    reason = $"the receiver sent something else than this protocol: {read.Error.Message}";
                    break;
                }

                if (read.Message is null) break;
                if (read.Message is Fault fault)
                {
                    reason = $"the receiver reported: {fault.Message}";
                    break;
                }

                handle(read.Message);
            }
        }
        catch (OperationCanceledException)
        {
            reason = "the sender was disposed";
        }

        Disconnect($"Connection to {_control.Description}: {reason}.");
    }
}
