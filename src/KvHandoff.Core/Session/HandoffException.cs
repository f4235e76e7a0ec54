using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>Why a handoff or a connection ended without a commit.</summary>
public enum HandoffFailure
{
    /// <summary>The receiver declined the offer; the exception says why and when to retry.</summary>
    Rejected,

    /// <summary>The two caches cannot be matched; the text names the field and both values.</summary>
    LayoutMismatch,

    /// <summary>The peer speaks another protocol or version, or broke the rules of this one.</summary>
    ProtocolMismatch,

    /// <summary>A checksum did not match; nothing was published.</summary>
    Corrupt,

    /// <summary>The connection ended before the handoff did.</summary>
    PeerGone,

    /// <summary>The deadline or the lease ran out. On the sender the outcome is unknown: ask by handoff id.</summary>
    Expired,

    /// <summary>One side aborted.</summary>
    Aborted,

    /// <summary>The frame or message belongs to an earlier life of the receiver.</summary>
    StaleEpoch,

    /// <summary>No connection could be made.</summary>
    TransportFailed,
}

/// <summary>A handoff or a connection failed; <see cref="Exception.Message"/> has what was expected and what came.</summary>
public sealed class HandoffException : Exception
{
    /// <summary>Creates the exception.</summary>
    public HandoffException(HandoffFailure failure, string message, Exception? inner = null) : base(message, inner) => Failure = failure;

    /// <summary>What kind of end it was.</summary>
    public HandoffFailure Failure { get; }

    /// <summary>For <see cref="HandoffFailure.Rejected"/>: the receiver's reason; 0 otherwise.</summary>
    public RejectReason RejectReason { get; init; }

    /// <summary>For <see cref="HandoffFailure.Rejected"/>: bytes that the sequence needs at the receiver.</summary>
    public long BytesNeeded { get; init; }

    /// <summary>For <see cref="HandoffFailure.Rejected"/>: bytes that are free there.</summary>
    public long BytesFree { get; init; }

    /// <summary>For <see cref="HandoffFailure.Rejected"/>: when a retry makes sense; zero when it never does.</summary>
    public TimeSpan RetryAfter { get; init; }
}
