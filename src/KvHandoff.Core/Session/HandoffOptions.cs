using KvHandoff.Codec;
using KvHandoff.Transport;

namespace KvHandoff.Session;

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
}
