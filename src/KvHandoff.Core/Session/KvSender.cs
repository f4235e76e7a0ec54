using System.Collections.Concurrent;
using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Hands sequences of a cache to one receiver: one control connection and a few data connections, each with a thread of its own.
/// </summary>
/// <remarks>
/// Thread-safe. When the connection breaks, handoffs go on over a new one if <see cref="KvSenderOptions.ResumeWithin"/> allows it, and fail
/// otherwise; the next offer connects again either way, also to a receiver that was restarted meanwhile.
/// </remarks>
public sealed partial class KvSender : IAsyncDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(50);

    private readonly string _endpoint;
    private readonly PagedKvCache _cache;
    private readonly CachePart _part;
    private readonly KvSenderOptions _options;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Guid, OutgoingHandoff> _open = new();
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource<Outcome>> _queries = new();
    private readonly SemaphoreSlim _connecting = new(1, 1);
    private readonly ConcurrentQueue<Task> _background = new();
    private SenderLink _link = null!;
    private Task _ticking = Task.CompletedTask;
    private long _bytesOfEndedLinks;
    private int _disposed;

    private KvSender(string endpoint, PagedKvCache cache, CachePart part, KvSenderOptions options)
    {
        _endpoint = endpoint;
        _cache = cache;
        _part = part;
        _options = options;
        Clock = new SessionClock(options.TimeProvider);
    }

    /// <summary>The layout of the receiver's cache.</summary>
    public KvCacheLayout ReceiverLayout => _link.Welcome.Layout;

    /// <summary>How this cache becomes the receiver's: what is permuted, re-blocked, converted, and whether that rounds.</summary>
    public TransferPlan Plan => _link.Plan;

    /// <summary>Data connections in use: what was asked for, at most what the receiver allows.</summary>
    public int Streams => _link.Streams;

    /// <summary>Bytes that the data sockets took, counted at the socket.</summary>
    public long DataBytesSent => Volatile.Read(ref _bytesOfEndedLinks) + _link.DataBytesSent;

    internal SessionClock Clock { get; }

    internal TimeSpan ResumeWithin => _options.ResumeWithin;

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
        CachePart part = HandoffParts.PartOf(cache, options.Part);
        Handshake.Resolve(endpoint);
        var sender = new KvSender(endpoint, cache, part, options);
        sender._link = await SenderLink.ConnectAsync(endpoint, part, options, sender.OnLinkEnded, cancellationToken).ConfigureAwait(false);
        sender._link.Start(message => sender.Handle(message, sender._link));
        sender._ticking = sender.TickAsync();
        HandoffMeters.Join(sender);
        return sender;
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
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        SenderLink link = await LinkAsync(cancellationToken).ConfigureAwait(false);
        HandoffShape shape = ShapeOf(sequence, offer, link.Plan);
        return await OfferAsync(new OutgoingHandoff(this, link, sequence, offer, shape), link, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Offers a sequence that prefill writes straight into the receiver's blocks, which this process maps: no rows are copied. Rows are written with
    /// <see cref="OutgoingHandoff.WriteRows"/> or <see cref="OutgoingHandoff.Write"/>, and published as usual.
    /// </summary>
    /// <exception cref="HandoffException">The receiver declined or is gone, or its blocks are not mapped here: then offer a sequence of this cache instead.</exception>
    public async Task<OutgoingHandoff> OfferInPlaceAsync(HandoffOffer offer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offer);
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        SenderLink link = await LinkAsync(cancellationToken).ConfigureAwait(false);
        if (link.Window is null || link.Remote is not null) throw new HandoffException(HandoffFailure.TransportFailed, $"The blocks of the receiver at {link.Description} are not mapped here: that takes shm:// and a cache over a SharedSlab.");
        ImmutableArray<IKvCodec> codecs = [KvCodecs.Raw];
        if (HandoffShape.Refusal(link.Plan, offer.TotalTokens, codecs) is { } refusal) throw new ArgumentException(refusal, nameof(offer));
        if (offer.Deadline <= TimeSpan.Zero) throw new ArgumentException($"The deadline is {offer.Deadline}; it must be positive.", nameof(offer));
        var shape = new HandoffShape(link.Plan, sending: true, offer.TotalTokens, codecs);
        if (shape.Placed is null) throw new HandoffException(HandoffFailure.TransportFailed, "Rows of this pair of caches cannot be written in place: a scale lies elsewhere than in the blocks, or the caches are parts of a model's.");
        var handoff = new OutgoingHandoff(this, link, _cache.CreateSequence(), offer with { Codec = CodecId.Raw, Group = null }, shape) { IsInPlace = true, IsTrusted = link.Welcome.TrustsSameHost };
        return await OfferAsync(handoff, link, cancellationToken).ConfigureAwait(false);
    }

    private async Task<OutgoingHandoff> OfferAsync(OutgoingHandoff handoff, SenderLink link, CancellationToken cancellationToken)
    {
        HandoffOffer offer = handoff.Offer;
        if (!_open.TryAdd(offer.HandoffId, handoff))
        {
            await handoff.DisposeAsync().ConfigureAwait(false);
            throw new ArgumentException($"Handoff {offer.HandoffId} is already open.", nameof(offer));
        }

        try
        {
            // What is stalled ends with the deadline or the caller's patience, not with the write.
            _ = link.SendAsync(handoff.ToMessage(CodecOf(offer)));
            if (link.EndReason is { } gone) throw new HandoffException(HandoffFailure.PeerGone, gone);
            link.SpinFor(handoff.GrantedAsync);
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
        SenderLink link = await LinkAsync(cancellationToken).ConfigureAwait(false);
        TaskCompletionSource<Outcome> answer = _queries.GetOrAdd(handoffId, _ => new TaskCompletionSource<Outcome>(TaskCreationOptions.RunContinuationsAsynchronously));
        _ = link.SendAsync(new Query(handoffId));
        if (link.EndReason is { } gone) throw new HandoffException(HandoffFailure.PeerGone, gone);
        return (await answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false)).State;
    }

    /// <summary>Aborts open handoffs, lets queued sends stop, and closes the connections.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        foreach (OutgoingHandoff handoff in _open.Values) await handoff.DisposeAsync().ConfigureAwait(false);
        await _stop.CancelAsync().ConfigureAwait(false);
        await _ticking.ConfigureAwait(false);
        while (_background.TryDequeue(out Task? task)) await task.ConfigureAwait(false);
        await _link.DisposeAsync().ConfigureAwait(false);
        HandoffMeters.Leave(this);
    }

    internal void Forget(OutgoingHandoff handoff) => _open.TryRemove(new KeyValuePair<Guid, OutgoingHandoff>(handoff.Id, handoff));

    private CodecId CodecOf(HandoffOffer offer) => offer.Codec ?? _options.Codec;

    private HandoffShape ShapeOf(KvSequence sequence, HandoffOffer offer, TransferPlan plan)
    {
        if (!ReferenceEquals(sequence.Cache, _cache)) throw new ArgumentException("The sequence belongs to another cache than this sender's.", nameof(sequence));
        if (offer.Deadline <= TimeSpan.Zero) throw new ArgumentException($"The deadline is {offer.Deadline}; it must be positive.", nameof(offer));
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(CodecOf(offer), plan);
        if (codecs.IsEmpty) throw new ArgumentException($"Codec {CodecOf(offer)} is unknown.", nameof(offer));
        if (HandoffShape.Refusal(plan, offer.TotalTokens, codecs) is { } refusal) throw new ArgumentException(refusal, nameof(offer));
        if (HandoffParts.TryShape(plan, sending: true, offer.TotalTokens, codecs, offer.Group, out HandoffShape? shape) is { } wrong) throw new ArgumentException(wrong, nameof(offer));
        if (sequence.Capacity < shape!.OwnTokens) throw new ArgumentException($"The sequence has room for {sequence.Capacity} tokens; {shape.OwnTokens} are offered.", nameof(sequence));
        if (HandoffShape.CutsTile(sequence, shape.OwnTokens) is { } cut) throw new ArgumentException(cut, nameof(offer));
        return shape;
    }
}
