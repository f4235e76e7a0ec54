using System.Collections.Immutable;

namespace KvHandoff.Wire;

/// <summary>The sender has sent everything; the receiver commits when its own account of landed granules is complete.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The lease.</param>
/// <param name="Manifest">What goes with the cache.</param>
public sealed record Finish(Guid HandoffId, ulong LeaseId, HandoffManifest Manifest) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Finish;

    /// <summary>Queries and outputs of the sender's attention, for the receiver to recompute; empty when there are none. At most 8 MiB.</summary>
    public ByteValue Canary { get; init; }

    /// <inheritdoc/>
    public override WireError? Check() => Manifest.Check() ?? WireError.Range("Bytes of the canary", Canary.Length, 0, WireConstants.MaxCanaryBytes);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Int32(3, Manifest.Position);
        fields.Int32(4, Manifest.FirstToken);
        fields.Bytes(5, Manifest.SamplerState.Span);
        fields.Bytes(6, Manifest.HostMetadata.Span);
        fields.Int32Array(7, ArrayValue.Span(Manifest.TokenIds));
        if (!Canary.IsEmpty) fields.Optional.Bytes(8, Canary.Span);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields)
    {
        Guid id = fields.Guid(1);
        ulong lease = fields.UInt64(2);
        int position = fields.Int32(3), first = fields.Int32(4);
        byte[] sampler = fields.Bytes(5, WireConstants.MaxSamplerStateBytes).ToArray();
        byte[] metadata = fields.Bytes(6, WireConstants.MaxMetadataBytes).ToArray();
        var manifest = new HandoffManifest(fields.Int32Array(7, WireConstants.MaxTokens), position, first, sampler, metadata);
        return new Finish(id, lease, manifest) { Canary = fields.OptionalBytes(8, WireConstants.MaxCanaryBytes) };
    }
}

/// <summary>The receiver's verdict: everything landed, is verified, and is its own now.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The lease.</param>
/// <param name="KvBytes">Decoded bytes that landed.</param>
/// <param name="WireBytes">Bytes that came over the data connections.</param>
/// <param name="BytesCopied">Bytes that the receiver copied on their way from the connection to the blocks.</param>
/// <param name="Digest">Digest over the segment checksums, as the session defines it.</param>
/// <param name="PhaseNanoseconds">The receiver's time per phase, in the session's order of phases; at most 64, none negative.</param>
public sealed record Committed(
    Guid HandoffId, ulong LeaseId, long KvBytes, long WireBytes, long BytesCopied, uint Digest, ImmutableArray<long> PhaseNanoseconds) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Committed;

    /// <inheritdoc/>
    public override WireError? Check()
    {
        ReadOnlySpan<long> phases = ArrayValue.Span(PhaseNanoseconds);
        int negative = phases.IndexOfAnyExceptInRange(0, long.MaxValue);
        if (negative >= 0) return WireError.Value($"Nanoseconds of phase {negative}", phases[negative], "0 or more");
        return WireError.Range("KV bytes", KvBytes, 0, long.MaxValue)
            ?? WireError.Range("Wire bytes", WireBytes, 0, long.MaxValue)
            ?? WireError.Range("Bytes copied", BytesCopied, 0, long.MaxValue)
            ?? WireError.Range("Phases", phases.Length, 0, WireConstants.MaxPhases);
    }

    /// <inheritdoc/>
    public bool Equals(Committed? other) =>
        other is not null && HandoffId == other.HandoffId && LeaseId == other.LeaseId && KvBytes == other.KvBytes && WireBytes == other.WireBytes
        && BytesCopied == other.BytesCopied && Digest == other.Digest && ArrayValue.Equal(PhaseNanoseconds, other.PhaseNanoseconds);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(HandoffId, LeaseId, KvBytes, WireBytes, Digest);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Int64(3, KvBytes);
        fields.Int64(4, WireBytes);
        fields.Int64(5, BytesCopied);
        fields.UInt32(6, Digest);
        fields.Int64Array(7, ArrayValue.Span(PhaseNanoseconds));
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Committed(fields.Guid(1), fields.UInt64(2), fields.Int64(3), fields.Int64(4), fields.Int64(5), fields.UInt32(6),
            fields.Int64Array(7, WireConstants.MaxPhases));
}

/// <summary>Why a handoff ended without a commit.</summary>
public enum AbortReason : byte
{
    /// <summary>The host cancelled it.</summary>
    Cancelled = 1,

    /// <summary>A checksum did not match or a segment could not be decoded.</summary>
    Corrupt = 2,

    /// <summary>A frame of another epoch, lease or slot generation came.</summary>
    StaleEpoch = 3,

    /// <summary>The deadline or the lease ran out.</summary>
    Expired = 4,

    /// <summary>The peer broke the order of the conversation.</summary>
    ProtocolError = 5,

    /// <summary>A connection broke.</summary>
    PeerGone = 6,

    /// <summary>A failure of this side.</summary>
    Internal = 7,
}

/// <summary>The handoff has ended without a commit; either side may say so.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The lease; 0 when none was granted.</param>
/// <param name="Reason">Why.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
public sealed record Abort(Guid HandoffId, ulong LeaseId, AbortReason Reason, string Message) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Abort;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Abort reason", (byte)Reason, (byte)AbortReason.Cancelled, (byte)AbortReason.Internal);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Byte(3, (byte)Reason);
        fields.Explanation(4, Message);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Abort(fields.Guid(1), fields.UInt64(2), (AbortReason)fields.Byte(3), fields.Text(4));
}

/// <summary>Asks for a longer lease; the receiver confirms with the same message and the time that it gives.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The lease.</param>
/// <param name="LeaseMilliseconds">Time from now, 0 to 30 days.</param>
public sealed record Renew(Guid HandoffId, ulong LeaseId, long LeaseMilliseconds) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Renew;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Lease in milliseconds", LeaseMilliseconds, 0, WireConstants.MaxMilliseconds);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Int64(3, LeaseMilliseconds);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) => new Renew(fields.Guid(1), fields.UInt64(2), fields.Int64(3));
}

/// <summary>Asks how a handoff ended, for a sender that never heard.</summary>
/// <param name="HandoffId">The handoff.</param>
public sealed record Query(Guid HandoffId) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Query;

    internal override void WriteFields(FieldWriter fields) => fields.Guid(1, HandoffId);

    internal static ControlMessage ReadFields(ref FieldReader fields) => new Query(fields.Guid(1));
}

/// <summary>What the receiver knows of a handoff.</summary>
public enum HandoffOutcome : byte
{
    /// <summary>It never saw the id, or has forgotten it.</summary>
    Unknown = 0,

    /// <summary>Not ended.</summary>
    InProgress = 1,

    /// <summary>Committed.</summary>
    Committed = 2,

    /// <summary>Aborted by either side.</summary>
    Aborted = 3,

    /// <summary>The deadline or the lease ran out.</summary>
    Expired = 4,

    /// <summary>The offer was refused.</summary>
    Rejected = 5,
}

/// <summary>The answer to a Query.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="State">Where it stands.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
public sealed record Outcome(Guid HandoffId, HandoffOutcome State, string Message) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Outcome;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Outcome", (byte)State, 0, (byte)HandoffOutcome.Rejected);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Byte(2, (byte)State);
        fields.Explanation(3, Message);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Outcome(fields.Guid(1), (HandoffOutcome)fields.Byte(2), fields.Text(3));
}
