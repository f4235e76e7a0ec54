using System.Collections.Immutable;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Threading.Channels;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Receives handoffs into a cache. It owns placement: blocks are reserved before the sender sends a byte, frames are fenced by epoch,
/// lease and slot generation, and nothing is published before all of it is verified.
/// </summary>
/// <remarks>Thread-safe. One receiver serves any number of senders; each has its own threads, one per data connection.</remarks>
public sealed class KvReceiver : IAsyncDisposable
{
    private static readonly TimeSpan ScanInterval = TimeSpan.FromMilliseconds(50);

    private readonly PagedKvCache _cache;
    private readonly KvReceiverOptions _options;
    private readonly ITransportListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Guid, IncomingHandoff> _landing = new();
    private readonly ConcurrentDictionary<Guid, ReceiverPeer> _peers = new();
    private readonly ConcurrentDictionary<Task, byte> _serving = new();
    private readonly OutcomeHistory _outcomes = new();
    private readonly Channel<IncomingHandoff> _incoming = Channel.CreateUnbounded<IncomingHandoff>();
    private readonly Task _accepting, _expiring;
    private long _bytesOfGonePeers, _fenced;
    private int _disposed;

    private KvReceiver(PagedKvCache cache, KvReceiverOptions options, ITransportListener listener)
    {
        _cache = cache;
        _options = options;
        _listener = listener;
        Epoch = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        _accepting = AcceptAsync();
        _expiring = ExpireAsync();
    }

    /// <summary>Where senders connect, with the real port when 0 was asked for.</summary>
    public string Endpoint => _listener.Endpoint.ToString();

    /// <summary>This life of the receiver; frames of an earlier one are dropped.</summary>
    public ulong Epoch { get; }

    /// <summary>Payload and frame bytes that the data sockets delivered, counted at the socket.</summary>
    public long DataBytesReceived => Volatile.Read(ref _bytesOfGonePeers) + _peers.Values.Sum(p => p.DataBytesReceived);

    /// <summary>Frames that were dropped because they belonged to an ended or earlier handoff, or contradicted their grant.</summary>
    public long FencedFrames => Volatile.Read(ref _fenced);

    /// <summary>The last protocol error of any peer, null when there was none.</summary>
    public string? LastFault { get; internal set; }

    /// <summary>Handoffs that are landing now.</summary>
    public int OpenHandoffs => _landing.Count;

    /// <summary>Starts listening.</summary>
    /// <param name="endpoint"><c>tcp://host:port</c>; port 0 picks one.</param>
    /// <param name="cache">Blocks are reserved from it; it must outlive the receiver.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="cancellationToken">Cancels the start only.</param>
    /// <exception cref="ArgumentException">The endpoint cannot be parsed, or no transport has its scheme.</exception>
    /// <exception cref="TransportException">The address cannot be listened on.</exception>
    public static async Task<KvReceiver> ListenAsync(string endpoint, PagedKvCache cache, KvReceiverOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(cache);
        options ??= new KvReceiverOptions();
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        ITransportListener listener = await transport.ListenAsync(address, options.Transport, cancellationToken).ConfigureAwait(false);
        return new KvReceiver(cache, options, listener);
    }

    /// <summary>Handoffs as they are granted; ends when the receiver is disposed.</summary>
    public IAsyncEnumerable<IncomingHandoff> IncomingAsync(CancellationToken cancellationToken = default) => _incoming.Reader.ReadAllAsync(cancellationToken);

    /// <summary>Stops listening, aborts what is landing, frees its blocks and returns committed sequences that nobody took.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _listener.DisposeAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        await _expiring.ConfigureAwait(false);
        foreach (ReceiverPeer peer in _peers.Values) peer.Disconnect("The receiver shut down.");
        await Task.WhenAll(_serving.Keys).ConfigureAwait(false);
        _incoming.Writer.TryComplete();
        while (_incoming.Reader.TryRead(out IncomingHandoff? untaken)) await untaken.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    internal IncomingHandoff? FindLanding(Guid id) => _landing.GetValueOrDefault(id);

    internal void CountFenced() => Interlocked.Increment(ref _fenced);

    /// <summary>Ends a handoff; its blocks are freed as soon as no receive is inside them.</summary>
    internal static void Fail(IncomingHandoff handoff, AbortReason reason, string message) => _ = handoff.Peer.AbortAsync(handoff, reason, message);

    /// <summary>Moves an ended handoff from the open ones to the history that queries are answered from.</summary>
    internal void Forget(IncomingHandoff handoff)
    {
        _outcomes.Add(handoff.Id, handoff.Status, handoff.FailureText);
        _landing.TryRemove(handoff.Id, out _);
    }

    internal Outcome OutcomeOf(Guid id)
    {
        if (_landing.ContainsKey(id)) return new Outcome(id, HandoffOutcome.InProgress, "");
        return _outcomes.Find(id);
    }

    internal void PeerGone(ReceiverPeer peer, string reason)
    {
        foreach (IncomingHandoff handoff in _landing.Values)
        {
            if (ReferenceEquals(handoff.Peer, peer)) Fail(handoff, AbortReason.PeerGone, reason);
        }
    }

    /// <summary>Grants an offer, with blocks reserved for all of it, or says why not. Nothing has been sent yet.</summary>
    internal ControlMessage Answer(Offer offer, ReceiverPeer peer)
    {
        long started = PhaseClock.Now;
        KvCacheLayout layout = _cache.Layout;
        if (_landing.ContainsKey(offer.HandoffId) || _outcomes.Find(offer.HandoffId).State != HandoffOutcome.Unknown)
            return Refuse(offer, RejectReason.Duplicate, $"Handoff {offer.HandoffId} is known here: {OutcomeOf(offer.HandoffId).State}. Query it instead.");
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(offer.Codec, peer.Plan);
        if (codecs.IsEmpty) return Refuse(offer, RejectReason.BadOffer, $"Codec {offer.Codec} is not known here.");
        if (HandoffShape.Refusal(peer.Plan, offer.TotalTokens, codecs) is { } refusal) return Refuse(offer, RejectReason.BadOffer, refusal);
        if (!offer.Shard.IsWhole(layout, offer.TotalTokens))
            return Refuse(offer, RejectReason.BadOffer, $"The offer is for shard {offer.Shard}; this version takes whole sequences only.");
        if (offer.DeadlineMilliseconds <= 0) return Refuse(offer, RejectReason.BadOffer, $"The deadline is {offer.DeadlineMilliseconds} ms; it must be positive.");

        KvSequence sequence = _cache.CreateSequence();
        if (!sequence.TryReserve(offer.TotalTokens))
        {
            sequence.Dispose();
            long needed = PagedKvCache.RequiredBytes(layout, offer.TotalTokens), free = _cache.Pools.Sum(p => KvBlockPool.RequiredBytes(p.Group, p.FreeSlots));
            return new Reject(offer.HandoffId, RejectReason.NoSpace, $"{offer.TotalTokens} tokens need {needed} bytes; {free} are free.", needed, free, 100);
        }

        var clock = new PhaseClock();
        ulong lease = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        var handoff = new IncomingHandoff(peer, offer, lease, _options.Lease, sequence, new HandoffShape(peer.Plan, sending: false, offer.TotalTokens, codecs), clock);
        _landing[offer.HandoffId] = handoff;
        if (peer.IsGone) PeerGone(peer, "The sender left while its offer was answered.");
        clock.Add(HandoffPhase.Reserve, started);
        _incoming.Writer.TryWrite(handoff);
        return new Grant(offer.HandoffId, lease, (long)_options.Lease.TotalMilliseconds, handoff.SlotGenerations, handoff.Shape.KvBytes);
    }

    private static Reject Refuse(Offer offer, RejectReason reason, string text) => new(offer.HandoffId, reason, text, 0, 0, 0);

    private async Task AcceptAsync()
    {
        while (true)
        {
            IConnection? connection;
            try
            {
                connection = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or TransportException or ObjectDisposedException)
            {
                return;
            }

            if (connection is null) return;
            Task serving = ServeAsync(connection);
            _serving[serving] = 0;
            _ = serving.ContinueWith((done, _) => _serving.TryRemove(done, out byte _), null, TaskScheduler.Default);
        }
    }

    private async Task ServeAsync(IConnection connection)
    {
        await Task.Yield();
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(_options.HandshakeTimeout);
        (ConnectionPreface preface, WireError? error) = await Handshake.ReadPrefaceAsync(connection, timeout.Token).ConfigureAwait(false);
        if (error is not null)
        {
            LastFault = error.Message;
            connection.Dispose();
            return;
        }

        if (preface.Kind == ConnectionKind.Data)
        {
            string? refused = preface.Epoch != Epoch ? $"A data connection names epoch {preface.Epoch}; this receiver's is {Epoch}."
                : !_peers.TryGetValue(preface.ConnectionToken, out ReceiverPeer? owner) ? $"A data connection names token {preface.ConnectionToken}, which no sender holds."
                : !owner.TryAddStream(connection, _options.MaxStreams) ? $"A sender opened more than {_options.MaxStreams} data connections."
                : null;
            if (refused is null) return;
            LastFault = refused;
            connection.Dispose();
            return;
        }

        var control = new ControlChannel(connection);
        (Hello Hello, TransferPlan Plan)? greeting = await Handshake.ReceiveHelloAsync(control, _cache.Layout, text => LastFault = text, timeout.Token).ConfigureAwait(false);
        if (greeting is not var (hello, plan))
        {
            await control.DisposeAsync().ConfigureAwait(false);
            return;
        }

        var peer = new ReceiverPeer(this, control, new Guid(RandomNumberGenerator.GetBytes(16)), hello.SenderName, plan);
        _peers[peer.Token] = peer;
        await control.SendAsync(new Welcome(Epoch, peer.Token, _cache.Layout, Math.Min(hello.Streams, _options.MaxStreams), _options.Name), _stop.Token).ConfigureAwait(false);
        await peer.ServeAsync(_stop.Token).ConfigureAwait(false);
        await peer.DisposeAsync().ConfigureAwait(false);
        Interlocked.Add(ref _bytesOfGonePeers, peer.DataBytesReceived);
        _peers.TryRemove(peer.Token, out _);
    }

    private async Task ExpireAsync()
    {
        using var timer = new PeriodicTimer(ScanInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                long now = Environment.TickCount64;
                foreach (IncomingHandoff handoff in _landing.Values)
                {
                    if (handoff.Overdue(now) is { } reason) Fail(handoff, AbortReason.Expired, reason);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
