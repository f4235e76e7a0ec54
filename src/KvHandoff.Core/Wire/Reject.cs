namespace KvHandoff.Wire;

/// <summary>Why an offer was refused.</summary>
public enum RejectReason : byte
{
    /// <summary>Too few free blocks.</summary>
    NoSpace = 1,

    /// <summary>The two caches do not fit together.</summary>
    LayoutMismatch = 2,

    /// <summary>Too many handoffs at once.</summary>
    Busy = 3,

    /// <summary>The receiver takes no more handoffs.</summary>
    ShuttingDown = 4,

    /// <summary>The offer contradicts itself or the layout.</summary>
    BadOffer = 5,

    /// <summary>The handoff id is in use or has ended.</summary>
    Duplicate = 6,

    /// <summary>The sender may not do this.</summary>
    Unauthorized = 7,
}

/// <summary>No room is reserved; nothing may be sent.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="Reason">Why.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
/// <param name="BytesNeeded">What the sequence needs; 0 when that is not the reason.</param>
/// <param name="BytesFree">What is free.</param>
/// <param name="RetryAfterMilliseconds">When another try may succeed, 0 to 30 days.</param>
public sealed record Reject(Guid HandoffId, RejectReason Reason, string Message, long BytesNeeded, long BytesFree, long RetryAfterMilliseconds)
    : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Reject;

    /// <inheritdoc/>
    public override WireError? Check() =>
        WireError.Range("Reject reason", (byte)Reason, (byte)RejectReason.NoSpace, (byte)RejectReason.Unauthorized)
        ?? WireError.Range("Bytes needed", BytesNeeded, 0, long.MaxValue)
        ?? WireError.Range("Bytes free", BytesFree, 0, long.MaxValue)
        ?? WireError.Range("Retry after, in milliseconds", RetryAfterMilliseconds, 0, WireConstants.MaxMilliseconds);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Byte(2, (byte)Reason);
        fields.Explanation(3, Message);
        fields.Int64(4, BytesNeeded);
        fields.Int64(5, BytesFree);
        fields.Int64(6, RetryAfterMilliseconds);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Reject(fields.Guid(1), (RejectReason)fields.Byte(2), fields.Text(3), fields.Int64(4), fields.Int64(5), fields.Int64(6));
}
