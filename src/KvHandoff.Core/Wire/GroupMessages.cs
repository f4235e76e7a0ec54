namespace KvHandoff.Wire;

/// <summary>The sender can no longer write to what was granted by itself: blocks of an ended handoff may be used again.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The lease.</param>
public sealed record Released(Guid HandoffId, ulong LeaseId) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Released;

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) => new Released(fields.Guid(1), fields.UInt64(2));
}

/// <summary>A receiver of a group tells the one that commits for all: my part is complete and verified, or will never be.</summary>
/// <param name="HandoffId">The group.</param>
/// <param name="Target">Index of the receiver among the group's targets.</param>
/// <param name="Complete">False when the part has failed.</param>
/// <param name="Message">Why it failed, for people; cut to 1024 bytes of UTF-8.</param>
public sealed record Prepared(Guid HandoffId, int Target, bool Complete, string Message) : ControlMessage
{
    /// <summary>
    /// What attention over the receiver's tokens gives for the sender's canary, where others hold the rest; empty for nothing. What takes more than
    /// one message has several, each of which says how many.
    /// </summary>
    public ByteValue CanaryStates { get; init; }

    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Prepared;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Target of the group", Target, 0, WireConstants.MaxGroupWorkers - 1)
        ?? WireError.Range("Bytes of canary states", CanaryStates.Length, 0, WireConstants.MaxCanaryStatesBytes);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Int32(2, Target);
        fields.Byte(3, Complete ? (byte)1 : (byte)0);
        fields.Explanation(4, Message);
        if (!CanaryStates.IsEmpty) fields.Optional.Bytes(5, CanaryStates.Span);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields)
    {
        Guid id = fields.Guid(1);
        int target = fields.Int32(2);
        byte complete = fields.Byte(3);
        if (complete > 1) fields.Fail(WireErrorCode.BadValue, $"field 3 is {complete}; allowed: 0 or 1");
        return new Prepared(id, target, complete == 1, fields.Text(4)) { CanaryStates = fields.OptionalBytes(5, WireConstants.MaxCanaryStatesBytes) };
    }
}

/// <summary>How a group ended, by the receiver that decides.</summary>
/// <param name="HandoffId">The group.</param>
/// <param name="State">Committed, Aborted or Expired.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
public sealed record Decision(Guid HandoffId, HandoffOutcome State, string Message) : ControlMessage
{
    /// <summary>Why the group was aborted; <see cref="AbortReason.Cancelled"/> where nothing else is said.</summary>
    public AbortReason Reason { get; init; } = AbortReason.Cancelled;

    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Decision;

    /// <inheritdoc/>
    public override WireError? Check() => WireError.Range("Decision", (byte)State, (byte)HandoffOutcome.Committed, (byte)HandoffOutcome.Expired)
        ?? WireError.Range("Reason of a decision", (byte)Reason, (byte)AbortReason.Cancelled, (byte)AbortReason.Internal);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Byte(2, (byte)State);
        fields.Explanation(3, Message);
        if (Reason != AbortReason.Cancelled) fields.Optional.Byte(4, (byte)Reason);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields)
    {
        var decision = new Decision(fields.Guid(1), (HandoffOutcome)fields.Byte(2), fields.Text(3));
        return fields.Has(4) ? decision with { Reason = (AbortReason)fields.Byte(4) } : decision;
    }
}
