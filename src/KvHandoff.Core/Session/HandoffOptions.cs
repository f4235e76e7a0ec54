using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>Guards that a test may take away, to see that what they guard against then happens.</summary>
[Flags]
internal enum Guards : byte
{
    None = 0,

    /// <summary>Epoch, lease and slot generation of frames.</summary>
    Fences = 1,

    /// <summary>Checksums of segments.</summary>
    Checksums = 2,

    /// <summary>Blocks of ended handoffs wait for senders that can write to them.</summary>
    Quarantine = 4,
}

/// <summary>How a receiver listens.</summary>
public sealed record KvReceiverOptions
{
    /// <summary>Name shown to senders and in errors.</summary>
    public string Name { get; init; } = Environment.MachineName;

    /// <summary>Socket settings; plaintext listens on loopback only unless they say otherwise.</summary>
    public TransportOptions Transport { get; init; } = new();

    /// <summary>Most data connections that one sender may open.</summary>
    public int MaxStreams { get; init; } = 8;

    /// <summary>A handoff without a frame or renewal for this long expires.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A connection that has not said hello for this long is closed.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Asked about every offer that could be granted; null admits all. Called on a thread of the receiver, not to block.</summary>
    public Func<AdmissionRequest, AdmissionVerdict>? Admission { get; init; }

    /// <summary>The part of a model's cache that this worker's is; null: all of it.</summary>
    public CachePart? Part { get; init; }

    /// <summary>Endpoint of the receiver that commits for groups in which this one is another member; null when there is none.</summary>
    public string? GroupCoordinator { get; init; }

    /// <summary>Blocks of earlier sequences that new ones may start with; null: every handoff sends all.</summary>
    public PrefixIndex? PrefixIndex { get; init; }

    /// <summary>Keys of the tickets that offers need; null: any offer may come.</summary>
    public TicketVerifier? Tickets { get; init; }

    /// <summary>
    /// Takes the word of senders on this host, which write into the blocks by themselves, for what they wrote: their rows are not read again to
    /// compare checksums. A sender that is in error then publishes its error.
    /// </summary>
    public bool SameHostTrust { get; init; }

    /// <summary>What deadlines and leases are measured by; tests have their own.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Guards that are taken away.</summary>
    internal Guards Without { get; init; }
}

/// <summary>How a sender connects.</summary>
public sealed record KvSenderOptions
{
    /// <summary>Name shown to the receiver and in errors.</summary>
    public string Name { get; init; } = Environment.MachineName;

    /// <summary>Socket settings.</summary>
    public TransportOptions Transport { get; init; } = new();

    /// <summary>Data connections, 1 to the receiver's limit; each has a thread of its own.</summary>
    public int Streams { get; init; } = 1;

    /// <summary>Codec of offers that do not name one.</summary>
    public CodecId Codec { get; init; } = CodecId.Raw;

    /// <summary>The receiver must answer the handshake within this time.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// When the connection breaks, open handoffs go on if it stands again within this time; the receiver keeps what has landed as long.
    /// Zero ends them at once, which a gateway with other workers to turn to prefers.
    /// </summary>
    public TimeSpan ResumeWithin { get; init; }

    /// <summary>The part of a model's cache that this worker's is; null: all of it.</summary>
    public CachePart? Part { get; init; }

    /// <summary>What deadlines are measured by; tests have their own.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

/// <summary>What a sender offers.</summary>
public sealed record HandoffOffer
{
    /// <summary>Identity of the handoff; a retry under the same id is answered with the first one's outcome.</summary>
    public Guid HandoffId { get; init; } = Guid.NewGuid();

    /// <summary>Tokens that will have been published in every layer when the handoff is complete.</summary>
    public required int TotalTokens { get; init; }

    /// <summary>Codec; null for the sender's default.</summary>
    public CodecId? Codec { get; init; }

    /// <summary>The handoff ends, one way or another, within this time.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The host's request id, carried for its logs.</summary>
    public string RequestId { get; init; } = "";

    /// <summary>Offers and granules with a higher priority go first.</summary>
    public byte Priority { get; init; }

    /// <summary>What it is for.</summary>
    public HandoffIntent Intent { get; init; }

    /// <summary>How long the offer waits at the receiver for room; zero: it is refused at once when there is none.</summary>
    public TimeSpan WaitForRoom { get; init; }

    /// <summary>Content hashes of the sequence's full blocks of 64 tokens, as <see cref="PrefixHash"/> makes them; what the receiver has is not sent.</summary>
    public ByteValue PrefixHashes { get; init; }

    /// <summary>The ticket that allows the handoff, where the receiver asks for one.</summary>
    public ByteValue Ticket { get; init; }

    /// <summary>The group that the handoff is a part of; null when it is the whole.</summary>
    public HandoffGroup? Group { get; init; }
}
