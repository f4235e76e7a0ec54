using System.Security.Cryptography;

namespace KvHandoff.Session;

/// <summary>Why a ticket authorises nothing.</summary>
public enum TicketFailure
{
    /// <summary>It authorises the handoff.</summary>
    None,

    /// <summary>The bytes are no ticket.</summary>
    Malformed,

    /// <summary>The key that it names is not in the ring.</summary>
    UnknownKey,

    /// <summary>The signature is not that of its bytes.</summary>
    BadSignature,

    /// <summary>It is for another receiver.</summary>
    WrongAudience,

    /// <summary>It is for another sender.</summary>
    WrongSender,

    /// <summary>It is for another handoff.</summary>
    WrongHandoff,

    /// <summary>The sequence takes more than it allows.</summary>
    TooManyBytes,

    /// <summary>It is not valid yet.</summary>
    NotYetValid,

    /// <summary>It is not valid any more.</summary>
    Expired,

    /// <summary>Its nonce was used for something else, or its handoff has ended.</summary>
    Replayed,

    /// <summary>No more nonces can be remembered until one expires.</summary>
    ReplayCacheFull,
}

/// <summary>A verifier's answer.</summary>
/// <param name="Failure">None when the handoff is authorised.</param>
/// <param name="Text">For people and for the peer: what was found and what is allowed, never a signature or key; empty on success.</param>
/// <param name="Ticket">The ticket, on success.</param>
public readonly record struct TicketVerdict(TicketFailure Failure, string Text, HandoffTicket? Ticket)
{
    /// <summary>Whether the handoff is authorised.</summary>
    public bool IsValid => Failure == TicketFailure.None;
}

/// <summary>Settings of a <see cref="TicketVerifier"/>.</summary>
public sealed record TicketVerifierOptions
{
    /// <summary>How far the clocks of issuer and receiver may differ, 0 to 10 minutes: a ticket is accepted so much before and after its validity.</summary>
    public TimeSpan ClockSkew { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Most nonces that are remembered, 1 to 4,194,304. A nonce is forgotten only when its ticket has expired.</summary>
    public int MaxNonces { get; init; } = 65_536;
}

/// <summary>
/// Checks tickets at a receiver. A ticket may be shown again for the handoff that it is for, as a retry does, until <see cref="Spend"/> ends that; its
/// nonce is good for nothing else. When no more nonces fit, new tickets are refused; none is forgotten early.
/// </summary>
/// <remarks>Thread-safe.</remarks>
public sealed class TicketVerifier
{
    private readonly string _audience;
    private readonly long _skew;
    private readonly int _maxNonces;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly Dictionary<UInt128, Use> _uses = [];
    private readonly PriorityQueue<UInt128, long> _byExpiry = new();
    private volatile TicketKeyRing _keys;
    private long _forgottenExpiry = long.MinValue;

    /// <summary>Creates a verifier.</summary>
    /// <param name="audience">Name of this receiver; a ticket's must equal it byte by byte.</param>
    /// <param name="keys">Keys that are accepted.</param>
    /// <param name="options">Skew and size of the memory.</param>
    /// <param name="time">Clock; default the system's.</param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    public TicketVerifier(string audience, TicketKeyRing keys, TicketVerifierOptions? options = null, TimeProvider? time = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(audience);
        ArgumentNullException.ThrowIfNull(keys);
        options ??= new TicketVerifierOptions();
        if (options.ClockSkew < TimeSpan.Zero || options.ClockSkew > TimeSpan.FromMinutes(10))
            throw new ArgumentOutOfRangeException(nameof(options), options.ClockSkew, "The clock skew is 0 to 10 minutes.");
        if (options.MaxNonces is < 1 or > 1 << 22) throw new ArgumentOutOfRangeException(nameof(options), options.MaxNonces, $"1 to {1 << 22} nonces are remembered.");
        _audience = audience;
        _keys = keys;
        _skew = (long)options.ClockSkew.TotalMilliseconds;
        _maxNonces = options.MaxNonces;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Keys that are accepted; may be exchanged at any time.</summary>
    public TicketKeyRing Keys
    {
        get => _keys;
        set => _keys = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>Nonces that are remembered.</summary>
    public int RememberedNonces
    {
        get
        {
            lock (_gate) return _uses.Count;
        }
    }

    /// <summary>Checks a ticket for one handoff and remembers its nonce. Never throws on what a peer sent.</summary>
    /// <param name="encoded">The ticket as it came; its length is not trusted.</param>
    /// <param name="sender">Name of the sender, as the connection established it.</param>
    /// <param name="handoffId">The handoff that is offered.</param>
    /// <param name="kvBytes">Bytes that would be reserved for it.</param>
    public TicketVerdict Verify(ReadOnlySpan<byte> encoded, string sender, Guid handoffId, long kvBytes)
    {
        if (!HandoffTicket.TryParse(encoded, out HandoffTicket? ticket, out string? error)) return Refuse(TicketFailure.Malformed, error!);
        Span<byte> mac = stackalloc byte[HandoffTicket.MacBytes];
        if (!_keys.TrySign(ticket!.KeyId, ticket.Signed, mac)) return Refuse(TicketFailure.UnknownKey, $"The ticket names key {ticket.KeyId}, which this receiver does not have.");
        if (!CryptographicOperations.FixedTimeEquals(mac, ticket.Mac)) return Refuse(TicketFailure.BadSignature, $"The ticket's signature is not that of key {ticket.KeyId}.");
        if (!string.Equals(ticket.Audience, _audience, StringComparison.Ordinal)) return Refuse(TicketFailure.WrongAudience, $"The ticket is for receiver {ticket.Audience}; this is {_audience}.");
        if (!string.Equals(ticket.Sender, sender, StringComparison.Ordinal)) return Refuse(TicketFailure.WrongSender, $"The ticket is for sender {ticket.Sender}; {sender} showed it.");
        if (ticket.HandoffId != handoffId) return Refuse(TicketFailure.WrongHandoff, $"The ticket is for handoff {ticket.HandoffId}; it was shown for {handoffId}.");
        if (kvBytes > ticket.MaxKvBytes) return Refuse(TicketFailure.TooManyBytes, $"The sequence takes {kvBytes} bytes; the ticket allows {ticket.MaxKvBytes}.");
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        if (now < ticket.NotBeforeUnixMilliseconds - _skew)
            return Refuse(TicketFailure.NotYetValid, $"The ticket is valid from {ticket.NotBeforeUnixMilliseconds}; it is {now}, and {_skew} ms of skew are allowed.");
        if (now >= ticket.ExpiryUnixMilliseconds + _skew)
            return Refuse(TicketFailure.Expired, $"The ticket is valid until {ticket.ExpiryUnixMilliseconds}; it is {now}, and {_skew} ms of skew are allowed.");
        return Remember(ticket, now);
    }

    /// <summary>
    /// The ticket's handoff has ended: it authorises nothing any more, and retries are answered from the receiver's history of outcomes. A ticket that
    /// is not remembered is ignored.
    /// </summary>
    public void Spend(HandoffTicket ticket)
    {
        ArgumentNullException.ThrowIfNull(ticket);
        lock (_gate)
        {
            if (_uses.TryGetValue(ticket.Nonce, out Use use) && use.IsOf(ticket)) _uses[ticket.Nonce] = use with { Spent = true };
        }
    }

    private TicketVerdict Remember(HandoffTicket ticket, long now)
    {
        lock (_gate)
        {
            while (_byExpiry.TryPeek(out UInt128 oldest, out long expiry) && now >= expiry + _skew)
            {
                _byExpiry.Dequeue();
                _uses.Remove(oldest);
                _forgottenExpiry = expiry;
            }

            if (_uses.TryGetValue(ticket.Nonce, out Use use))
            {
                return use.IsOf(ticket) && !use.Spent
                    ? new TicketVerdict(TicketFailure.None, "", ticket)
                    : Refuse(TicketFailure.Replayed, use.Spent ? $"The ticket was used: handoff {use.HandoffId} has ended." : $"The ticket's nonce was used for handoff {use.HandoffId}.");
            }

            // The clock was set back: whether this nonce was seen is forgotten.
            if (ticket.ExpiryUnixMilliseconds <= _forgottenExpiry)
                return Refuse(TicketFailure.Expired, $"The ticket is valid until {ticket.ExpiryUnixMilliseconds}; by this receiver's clock tickets up to {_forgottenExpiry} had expired before it was set back.");
            if (_uses.Count >= _maxNonces)
                return Refuse(TicketFailure.ReplayCacheFull, $"{_uses.Count} tickets are remembered until they expire; allowed: {_maxNonces}.");
            _uses[ticket.Nonce] = new Use(ticket.HandoffId, ticket.ExpiryUnixMilliseconds, false);
            _byExpiry.Enqueue(ticket.Nonce, ticket.ExpiryUnixMilliseconds);
            return new TicketVerdict(TicketFailure.None, "", ticket);
        }
    }

    private static TicketVerdict Refuse(TicketFailure failure, string text) => new(failure, text, null);

    private readonly record struct Use(Guid HandoffId, long Expiry, bool Spent)
    {
        internal bool IsOf(HandoffTicket ticket) => HandoffId == ticket.HandoffId && Expiry == ticket.ExpiryUnixMilliseconds;
    }
}
