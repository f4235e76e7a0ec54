using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>First message of the side that connects: who it is and what its cache looks like.</summary>
/// <param name="Layout">The sender's cache.</param>
/// <param name="SenderName">Name for logs, at most 1024 bytes of UTF-8.</param>
/// <param name="Streams">Data connections that it wants to open, 1 to 64.</param>
public sealed record Hello(KvCacheLayout Layout, string SenderName, int Streams) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Hello;

    /// <summary>The part of a model's caches that the sender's cache is, as <c>WorkerShard</c> writes it; empty when it is the whole.</summary>
    public ByteValue Shard { get; init; }

    /// <summary>Whether the side that connects is a receiver, which reports to this one what it has of a group.</summary>
    public bool IsGroupMember { get; init; }

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Streams", Streams, 1, WireConstants.MaxStreams);

    internal override void WriteFields(FieldWriter fields)
    {
        LayoutCodec.WriteField(fields, 1, Layout);
        fields.Text(2, SenderName);
        fields.Int32(3, Streams);
        if (!Shard.IsEmpty) fields.Bytes(4, Shard.Span);
        if (IsGroupMember) fields.Byte(5, 1);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Hello(LayoutCodec.ReadField(ref fields, 1)!, fields.Text(2), fields.Int32(3))
        {
            Shard = fields.OptionalBytes(4, WireConstants.MaxShardBytes),
            IsGroupMember = fields.Has(5) && fields.Byte(5) != 0,
        };
}

/// <summary>The receiver's answer to a Hello.</summary>
/// <param name="Epoch">Number of this life of the receiver; frames of another epoch are refused.</param>
/// <param name="ConnectionToken">What data connections prove with that they belong to this control connection.</param>
/// <param name="Layout">The receiver's cache.</param>
/// <param name="Streams">Data connections that the sender may open, 1 to 64.</param>
/// <param name="ReceiverName">Name for logs, at most 1024 bytes of UTF-8.</param>
public sealed record Welcome(ulong Epoch, Guid ConnectionToken, KvCacheLayout Layout, int Streams, string ReceiverName) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Welcome;

    /// <summary>The part of a model's caches that the receiver's cache is; empty when it is the whole.</summary>
    public ByteValue Shard { get; init; }

    /// <summary>Where the receiver's blocks lie in memory that the sender maps; empty when there is none.</summary>
    public ByteValue Window { get; init; }

    /// <summary>Whether the receiver takes the sender's word for rows that it wrote there in place, so that their checksums, which nobody compares, may be 0.</summary>
    public bool TrustsSameHost { get; init; }

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Streams", Streams, 1, WireConstants.MaxStreams);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.UInt64(1, Epoch);
        fields.Guid(2, ConnectionToken);
        LayoutCodec.WriteField(fields, 3, Layout);
        fields.Int32(4, Streams);
        fields.Text(5, ReceiverName);
        if (!Shard.IsEmpty) fields.Bytes(6, Shard.Span);
        if (!Window.IsEmpty) fields.Optional.Bytes(7, Window.Span);
        if (TrustsSameHost) fields.Optional.Byte(8, 1);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Welcome(fields.UInt64(1), fields.Guid(2), LayoutCodec.ReadField(ref fields, 3)!, fields.Int32(4), fields.Text(5))
        {
            Shard = fields.OptionalBytes(6, WireConstants.MaxShardBytes),
            Window = fields.OptionalBytes(7, WireConstants.MaxWindowBytes),
            TrustsSameHost = fields.Has(8) && fields.Byte(8) != 0,
        };
}

/// <summary>Why the connection is about to close; the last message on it.</summary>
/// <param name="Code">What was wrong with the bytes; None when the reason is another.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
public sealed record Fault(WireErrorCode Code, string Message) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Fault;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Fault code", (byte)Code, 0, (byte)WireErrorCode.Truncated);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Byte(1, (byte)Code);
        fields.Explanation(2, Message);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) => new Fault((WireErrorCode)fields.Byte(1), fields.Text(2));
}
