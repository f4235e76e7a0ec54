using System.Collections.Immutable;
using System.Collections.Concurrent;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Hands sequences of a cache to one receiver: one control connection and a few data connections, each with a thread of its own.
/// </summary>
/// <remarks>Thread-safe. When the receiver is gone every open handoff fails; make a new sender to connect again.</remarks>
public sealed partial class KvSender : IAsyncDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(50);

    private readonly PagedKvCache _cache;
    private readonly KvSenderOptions _options;
    private readonly ControlChannel _control;
    private readonly Welcome _welcome;
    private readonly TransferPlan _plan;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Guid, OutgoingHandoff> _open = new();
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource<Outcome>> _queries = new();
    private readonly List<(IConnection Connection, Thread Thread)> _streams = [];
    private Task _reading = Task.CompletedTask, _ticking = Task.CompletedTask;
    private string? _goneReason;
    private int _disposed;

    private KvSender(PagedKvCache cache, KvSenderOptions options, ControlChannel control, Welcome welcome, TransferPlan plan)
    {
        _plan = plan;
        _cache = cache;
        _options = options;
        _control = control;
        _welcome = welcome;
    }

    /// <summary>The receiver's cache layout.</summary>
    public KvCacheLayout ReceiverLayout => _welcome.Layout;

    /// <summary>How this cache becomes the receiver's: what is permuted, re-blocked, converted, and whether that rounds.</summary>
    public TransferPlan Plan => _plan;

    /// <summary>Data connections in use: what was asked for, at most what the receiver allows.</summary>
    public int Streams => _streams.Count;

    /// <summary>Bytes that the data sockets took, counted at the socket.</summary>
    public long DataBytesSent => _streams.Sum(s => s.Connection.Counters.BytesSent);

    internal SendQueue Queue { get; } = new();

    /// <summary>Connects and compares the two caches.</summary>
    /// <param name="endpoint">The receiver's endpoint.</param>
    /// <param name="cache">Sequences of this cache can be offered; it must outlive the sender.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="cancellationToken">Cancels connecting.</param>
    /// <exception cref="ArgumentException">The endpoint cannot be parsed, or an option is out of range.</exception>
    /// <exception cref="HandoffException">No connection, another protocol, or caches that do not match.</exception>
    public static async Task<KvSender> ConnectAsync(string endpoint, PagedKvCache cache, KvSenderOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(cache);
        options ??= new KvSenderOptions();
        if (options.Streams < 1) throw new ArgumentException($"Streams is {options.Streams}; at least 1 is needed.", nameof(options));
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(options.HandshakeTimeout);
        ControlChannel? control = null;
        KvSender? sender = null;
        try
        {
            IConnection connection = await transport.ConnectAsync(address, options.Transport, timeout.Token).ConfigureAwait(false);
            TransportResult sent = await Handshake.SendPrefaceAsync(connection, ConnectionPreface.Control, timeout.Token).ConfigureAwait(false);
            control = new ControlChannel(connection);
            if (!sent.IsOk) throw new HandoffException(HandoffFailure.PeerGone, $"{endpoint} closed the connection at once: {sent.Status} {sent.Message}");
            (Welcome welcome, TransferPlan plan) = await Handshake.GreetAsync(control, new Hello(cache.Layout, options.Name, options.Streams), timeout.Token).ConfigureAwait(false);
            sender = new KvSender(cache, options, control, welcome, plan);
            for (int i = 0; i < Math.Min(options.Streams, welcome.Streams); i++)
            {
                IConnection data = await transport.ConnectAsync(address, options.Transport, timeout.Token).ConfigureAwait(false);
                sender.AddStream(data, i);
                sent = await Handshake.SendPrefaceAsync(data, ConnectionPreface.Data(i, welcome.Epoch, welcome.ConnectionToken), timeout.Token).ConfigureAwait(false);
                if (!sent.IsOk) throw new HandoffException(HandoffFailure.PeerGone, $"{endpoint} closed data connection {i} at once: {sent.Status} {sent.Message}");
            }

            sender.Start();
            return sender;
        }
        catch (Exception e)
        {
            if (sender is not null) await sender.DisposeAsync().ConfigureAwait(false);
            else if (control is not null) await control.DisposeAsync().ConfigureAwait(false);
            if (e is TransportException transportFailure) throw new HandoffException(HandoffFailure.TransportFailed, $"{endpoint}: {transportFailure.Message}", e);
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
                throw new HandoffException(HandoffFailure.Expired, $"{endpoint} did not finish the handshake within {options.HandshakeTimeout.TotalSeconds} s.", e);
            throw;
        }
    }

    /// <summary>
    /// Offers a sequence and completes when the receiver has reserved blocks for all of it. Room for <see cref="HandoffOffer.TotalTokens"/>
    /// must be reserved in the sequence; its rows need not be computed yet. The sequence must not be disposed before the handoff.
    /// </summary>
    /// <exception cref="ArgumentException">The sequence is another cache's or has too little room, or the shape cannot be framed.</exception>
    /// <exception cref="HandoffException">The receiver declined (why, bytes needed and free, when to retry) or is gone.</exception>
    public async Task<OutgoingHandoff> OfferAsync(KvSequence sequence, HandoffOffer offer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        ArgumentNullException.ThrowIfNull(offer);
        if (!ReferenceEquals(sequence.Cache, _cache)) throw new ArgumentException("The sequence belongs to another cache than this sender's.", nameof(sequence));
        if (sequence.Capacity < offer.TotalTokens) throw new ArgumentException($"The sequence has room for {sequence.Capacity} tokens; {offer.TotalTokens} are offered.", nameof(sequence));
        CodecId id = offer.Codec ?? _options.Codec;
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(id, _plan);
        if (codecs.IsEmpty) throw new ArgumentException($"Codec {id} is unknown.", nameof(offer));
        if (HandoffShape.Refusal(_plan, offer.TotalTokens, codecs) is { } refusal) throw new ArgumentException(refusal, nameof(offer));
        if (HandoffShape.CutsTile(sequence, offer.TotalTokens) is { } cut) throw new ArgumentException(cut, nameof(offer));
        if (offer.Deadline <= TimeSpan.Zero) throw new ArgumentException($"The deadline is {offer.Deadline}; it must be positive.", nameof(offer));

        var handoff = new OutgoingHandoff(this, sequence, offer, new HandoffShape(_plan, sending: true, offer.TotalTokens, codecs));
        if (!_open.TryAdd(offer.HandoffId, handoff))
        {
            await handoff.DisposeAsync().ConfigureAwait(false);
            throw new ArgumentException($"Handoff {offer.HandoffId} is already open.", nameof(offer));
        }

        try
        {
            if (Volatile.Read(ref _goneReason) is { } gone) throw new HandoffException(HandoffFailure.PeerGone, gone);
            await SendAsync(new Offer(offer.HandoffId, offer.TotalTokens, KvShard.Whole(_cache.Layout, offer.TotalTokens), id,
                (long)offer.Deadline.TotalMilliseconds, offer.RequestId, 0)).ConfigureAwait(false);
            await handoff.GrantedAsync.WaitAsync(cancellationToken).ConfigureAwait(false);
            return handoff;
        }
        catch
        {
            await handoff.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Asks the receiver how a handoff ended: the answer to an <see cref="HandoffFailure.Expired"/> or a lost verdict.</summary>
    /// <exception cref="HandoffException">The receiver is gone.</exception>
    public async Task<HandoffOutcome> QueryAsync(Guid handoffId, CancellationToken cancellationToken = default)
    {
        TaskCompletionSource<Outcome> answer = _queries.GetOrAdd(handoffId, _ => new TaskCompletionSource<Outcome>(TaskCreationOptions.RunContinuationsAsynchronously));
        if (Volatile.Read(ref _goneReason) is { } gone) throw new HandoffException(HandoffFailure.PeerGone, gone);
        await SendAsync(new Query(handoffId)).ConfigureAwait(false);
        return (await answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false)).State;
    }

    /// <summary>Aborts open handoffs, lets queued sends stop, and closes the connections.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        foreach (OutgoingHandoff handoff in _open.Values) await handoff.DisposeAsync().ConfigureAwait(false);
        await _stop.CancelAsync().ConfigureAwait(false);
        Queue.Close(_streams.Count);
        foreach ((IConnection connection, Thread thread) in _streams)
        {
            if (thread.IsAlive) await Task.Run(thread.Join).ConfigureAwait(false);
            await connection.DisposeAsync().ConfigureAwait(false);
        }

        _control.Abort();
        await _reading.ConfigureAwait(false);
        await _ticking.ConfigureAwait(false);
        await _control.DisposeAsync().ConfigureAwait(false);
        Queue.Dispose();
        _stop.Dispose();
    }

    internal ValueTask<bool> SendAsync(ControlMessage message) => _control.SendAsync(message);

    internal void Forget(OutgoingHandoff handoff) => _open.TryRemove(new KeyValuePair<Guid, OutgoingHandoff>(handoff.Id, handoff));

    /// <summary>Drops the receiver: wakes the streams, fails every open handoff.</summary>
    internal void Disconnect(string reason)
    {
        if (Interlocked.CompareExchange(ref _goneReason, reason, null) is not null) return;
        foreach ((IConnection connection, _) in _streams) connection.Abort();
        _control.Abort();
        foreach (OutgoingHandoff handoff in _open.Values)
            handoff.End(HandoffEvent.Failed, new HandoffException(HandoffFailure.PeerGone, $"Handoff {handoff.Id}: {reason}"));
        foreach (TaskCompletionSource<Outcome> query in _queries.Values) query.TrySetException(new HandoffException(HandoffFailure.PeerGone, reason));
    }

    private void AddStream(IConnection connection, int index)
    {
        var thread = new Thread(() => SendFrames(connection)) { IsBackground = true, Name = $"kvhandoff send {index}" };
        _streams.Add((connection, thread));
    }

    private void Start()
    {
        foreach ((_, Thread thread) in _streams) thread.Start();
        _reading = ReadAsync();
        _ticking = TickAsync();
    }

    private void SendFrames(IConnection connection)
    {
        using var source = new FrameSource(connection, _welcome.Epoch);
        while (Queue.TryTake(out SendJob job))
        {
            if (!job.Handoff.Use.TryEnter()) continue;
            TransportResult sent;
            try
            {
                job.Handoff.Clock.Longest(HandoffPhase.Queue, job.PublishedAt);
                sent = source.Send(job.Handoff, job.Layer, job.Granule);
            }
            catch (Exception e)
            {
                // A host that disposes its sequence too early must not take the process with it: the frame may be half written.
                sent = new TransportResult(TransportStatus.Failed, $"Sending layer {job.Layer}, granule {job.Granule} threw {e.GetType().Name}: {e.Message}");
            }

            job.Handoff.Use.Exit();
            if (sent.IsOk) continue;
            Disconnect($"A data connection to {_control.Description} ended ({sent.Status}): {sent.Message}");
            return;
        }
    }
}
