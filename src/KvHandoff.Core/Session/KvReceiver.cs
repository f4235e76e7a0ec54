using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Threading.Channels;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Receives handoffs into a cache. It owns placement: blocks are reserved before the sender sends a byte, frames are fenced by epoch,
/// lease and slot generation, and nothing is published before all of it is verified.
/// </summary>
/// <remarks>Thread-safe. One receiver serves any number of senders; each has its own threads, one per data connection.</remarks>
public sealed partial class KvReceiver : IAsyncDisposable
{
    private readonly PagedKvCache _cache;
    private readonly CachePart _part;
    private readonly KvReceiverOptions _options;
    private readonly ITransportListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Guid, IncomingHandoff> _landing = new();
    private readonly ConcurrentDictionary<IncomingHandoff, long> _ending = new();
    private readonly ConcurrentDictionary<Guid, IncomingHandoff> _quarantined = new();
    private readonly ConcurrentDictionary<Guid, ReceiverPeer> _peers = new();
    private readonly ConcurrentDictionary<Task, byte> _serving = new();
    private readonly OutcomeHistory _outcomes = new();
    private readonly OfferDesk _desk;
    private readonly GroupCommit _groups;
    private readonly Channel<IncomingHandoff> _incoming = Channel.CreateUnbounded<IncomingHandoff>();
    private readonly Task _accepting, _expiring;
    private long _bytesOfGonePeers, _fenced;
    private int _disposed;

    private KvReceiver(PagedKvCache cache, CachePart part, KvReceiverOptions options, ITransportListener listener)
    {
        _cache = cache;
        _part = part;
        _options = options;
        _listener = listener;
        Clock = new SessionClock(options.TimeProvider);
        Epoch = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        _desk = new OfferDesk(this, cache, options);
        _groups = new GroupCommit(this, part, options);
        _accepting = AcceptAsync();
        _expiring = ExpireAsync();
        HandoffMeters.Join(this);
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

    /// <summary>Handoffs that have ended while their sender may still write into their blocks.</summary>
    public int QuarantinedHandoffs => _quarantined.Count;

    /// <summary>Offers that wait for room.</summary>
    public int WaitingOffers => _desk.Waiting;

    internal SessionClock Clock { get; }

    internal Guards Without => _options.Without;

    internal bool TrustsSameHost => _options.SameHostTrust;

    /// <summary>Bytes that the handoffs which are landing were granted.</summary>
    internal long GrantedBytes => _landing.Values.Sum(h => h.KvBytes);

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
        if (options.PrefixIndex is { } index && !ReferenceEquals(index.Cache, cache)) throw new ArgumentException("The prefix index is of another cache.", nameof(options));
        CachePart part = HandoffParts.PartOf(cache, options.Part);
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        // Senders that share memory with this host write into the blocks themselves, where the cache lies in memory that can be shared.
        if (options.Transport.SharedRegions.IsEmpty) options = options with { Transport = options.Transport with { SharedRegions = CacheWindow.RegionsOf(cache) } };
        if (options.Transport.RemoteRegions.IsEmpty) options = options with { Transport = options.Transport with { RemoteRegions = CacheWindow.RemoteRegionsOf(cache) } };
        ITransportListener listener = await transport.ListenAsync(address, options.Transport, cancellationToken).ConfigureAwait(false);
        return new KvReceiver(cache, part, options, listener);
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
        await _groups.DisposeAsync().ConfigureAwait(false);
        foreach (IncomingHandoff handoff in _landing.Values)
        {
            // A sender that is away will not come back in time, and a group without this member is not decided any more.
            handoff.Fail(HandoffEvent.TimedOut, AbortReason.PeerGone, "The receiver shut down.");
            await handoff.ReleasedAsync().ConfigureAwait(false);
        }

        // The host may free the cache from here on, so senders that map it have to be gone; one that hangs is waited for as long as its lease.
        await Task.WhenAny(Task.WhenAll(_quarantined.Values.Select(h => h.ReleasedAsync())), Task.Delay(_options.Lease)).ConfigureAwait(false);
        _incoming.Writer.TryComplete();
        while (_incoming.Reader.TryRead(out IncomingHandoff? nobodys)) await nobodys.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
        HandoffMeters.Leave(this);
    }

    internal IncomingHandoff? FindLanding(Guid id) => _landing.GetValueOrDefault(id);

    internal void CountFenced() => Interlocked.Increment(ref _fenced);

    internal void Open(IncomingHandoff handoff) => _landing[handoff.Id] = handoff;

    internal void Announce(IncomingHandoff handoff) => _incoming.Writer.TryWrite(handoff);

    /// <summary>A part of a group, or a coordinator's own, is complete.</summary>
    internal void Prepared(IncomingHandoff handoff) => _groups.Prepared(handoff);

    /// <summary>Moves an ended handoff from the open ones to the history that queries are answered from.</summary>
    internal void Ended(IncomingHandoff handoff, HandoffStatus status, string text)
    {
        _outcomes.Add(handoff.Id, status, text);
        _landing.TryRemove(handoff.Id, out _);
        if (handoff.Ticket is not null) _options.Tickets?.Spend(handoff.Ticket);
        if (handoff.IsQuarantined && Without.HasFlag(Guards.Quarantine)) handoff.Apply(HandoffEvent.WindowClosed);
        if (handoff.IsQuarantined)
        {
            _quarantined[handoff.Id] = handoff;
            foreach (IncomingPart part in handoff.Parts) _ = CloseWindowAsync(handoff, part.StoppedWindowAsync());
        }

        if (handoff.Use.Count > 0 || handoff.IsQuarantined) _ending[handoff] = Clock.NowMilliseconds;
        if (handoff.Group is not null) _groups.Ended(handoff, status, text);
    }

    /// <summary>The sender let go of an ended handoff's blocks.</summary>
    internal void CloseWindow(Guid id, ulong lease)
    {
        // The sender may let go before it says that it gives up: messages of different causes.
        IncomingHandoff? handoff = _quarantined.GetValueOrDefault(id) ?? FindLanding(id);
        if (handoff is null || handoff.Parts.All(p => p.LeaseId != lease)) return;
        _quarantined.TryRemove(id, out _);
        handoff.Apply(HandoffEvent.WindowClosed);
    }

    /// <summary>A sender gives up that its grant has not reached: it has written nothing by itself, and will not.</summary>
    internal void GiveUp(Abort abort, ReceiverPeer peer)
    {
        IncomingHandoff? handoff = FindLanding(abort.HandoffId) ?? _quarantined.GetValueOrDefault(abort.HandoffId);
        if (handoff?.PartOf(peer) is not { } part) return;
        handoff.Fail(abort.Reason, $"The sender aborted: {abort.Message}");
        CloseWindow(abort.HandoffId, part.LeaseId);
    }

    private async Task CloseWindowAsync(IncomingHandoff handoff, Task gone)
    {
        await gone.ConfigureAwait(false);
        _quarantined.TryRemove(handoff.Id, out _);
        handoff.Apply(HandoffEvent.WindowClosed);
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
            if (handoff.PartOf(peer) is { } part) handoff.Detach(part, reason);
        }
    }
}
