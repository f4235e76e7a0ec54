using System.Diagnostics;
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
    private readonly List<SendStream> _streams = [];
    private readonly AnswerSpin _spin = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Lazy<Task> _disposed;
    private readonly TimeSpan _patience;
    private readonly Action<SenderLink, string> _ended;
    private Task _reading = Task.CompletedTask;
    private string? _endReason;
    private ISharedMemoryPeer? _mapping;

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

    /// <summary>The window is the receiver's memory on the other side of a network: written one-sidedly, never read. Null where it is mapped.</summary>
    internal RemoteWindow? Remote { get; private set; }

    internal SendQueue Queue { get; } = new();

    internal string Description => _control.Description;

    internal System.Net.EndPoint? RemoteAddress => _control.Connection.Remote;

    /// <summary>What carries a UCX connection.</summary>
    internal string Lanes => (_control.Connection as UcxConnection)?.Lanes ?? "";

    internal int Streams => _streams.Count;

    /// <summary>Why the link ended; null while it stands.</summary>
    internal string? EndReason => Volatile.Read(ref _endReason);

    internal long DataBytesSent => _streams.Sum(s => s.BytesSent);

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
                link._streams.Add(new SendStream(data, i, welcome.Epoch, link.Queue, link.OnStreamFailed, link.Remote));
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
        foreach (SendStream stream in _streams) stream.Start();
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

    /// <summary>Sends what is queued of a handoff on the calling thread, as far as that takes no waiting.</summary>
    internal void HelpSend(OutgoingHandoff handoff)
    {
        foreach (SendStream stream in _streams) stream.Help(handoff);
    }

    /// <summary>The answer that is waited for now takes longer than a look.</summary>
    internal void StopPumping() => _control.StopPumping();

    /// <summary>Looks for the receiver's answer on the calling thread for as long as one that is awake needs.</summary>
    internal void SpinFor(Task answer)
    {
        if (answer.IsCompleted || !_control.CanPump) return;
        if (!_spin.MayBegin())
        {
            _control.StopPumping();
            return;
        }

        for (long started = Stopwatch.GetTimestamp(); AnswerSpin.MayGoOn(started);)
        {
            for (int i = 0; i < 8; i++)
            {
                _control.TryPump();
                if (answer.IsCompleted)
                {
                    _spin.Found();
                    return;
                }

                Thread.SpinWait(1);
            }

            Thread.Yield();
        }

        _spin.NotFound();
        _control.StopPumping();
    }

    /// <summary>Ends the link: wakes the streams, tells the sender.</summary>
    internal void Disconnect(string reason)
    {
        if (Interlocked.CompareExchange(ref _endReason, reason, null) is not null) return;
        foreach (SendStream stream in _streams) stream.Abort();
        Queue.Close();
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
        Queue.Close();
        foreach (SendStream stream in _streams) await stream.EndAsync().ConfigureAwait(false);

        await _reading.ConfigureAwait(false);
        await _control.DisposeAsync().ConfigureAwait(false);
        Remote?.Dispose();
        _stop.Dispose();
    }

    private void OpenWindow(IConnection connection)
    {
        if (Welcome.Window.IsEmpty) return;
        if (connection is IRemoteMemoryPeer { RegionBytes.IsEmpty: false } peer)
        {
            if (RemoteWindow.TryOpen(Welcome, peer, out RemoteWindow? remote, out PagedKvCache? blocks) is { } unusable)
                throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {_control.Description} describes its blocks wrongly: {unusable}");
            (Remote, Window) = (remote, blocks);
            return;
        }

        if (connection is not ISharedMemoryPeer shared) return;
        if (CacheWindow.TryRead(Welcome.Window.Span, Welcome.Layout, shared.MapRegions(), out PagedKvCache? cache) is { } wrong)
            throw new HandoffException(HandoffFailure.ProtocolMismatch, $"The receiver at {_control.Description} describes its blocks wrongly: {wrong}");
        _mapping = shared;
        Window = cache;
    }

    /// <summary>Keeps the window mapped, whatever becomes of the link, until <see cref="ReleaseWindow"/>; false when it is gone.</summary>
    internal bool TryHoldWindow() => _mapping?.TryHoldRegions() ?? false;

    internal void ReleaseWindow() => _mapping!.ReleaseRegions();

    private void OnStreamFailed(TransportResult sent) => Disconnect($"A data connection to {_control.Description} ended ({sent.Status}): {sent.Message}");

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
