namespace KvHandoff.Session;

/// <summary>Where a handoff stands. The last four are terminal: each side reaches exactly one of them, once.</summary>
public enum HandoffStatus : byte
{
    /// <summary>Offered, not answered yet.</summary>
    Offered,

    /// <summary>Granted: layers are landing.</summary>
    Landing,

    /// <summary>Every granule landed and verified, manifest received, published.</summary>
    Committed,

    /// <summary>Ended by either side or by an error.</summary>
    Aborted,

    /// <summary>Ended by its deadline or lease.</summary>
    Expired,

    /// <summary>Declined by the receiver.</summary>
    Rejected,
}

/// <summary>What can happen to a handoff.</summary>
public enum HandoffEvent : byte
{
    /// <summary>The receiver reserved blocks.</summary>
    Granted,

    /// <summary>The receiver declined.</summary>
    Declined,

    /// <summary>The last granule was verified (receiver).</summary>
    AllLanded,

    /// <summary>The final manifest arrived (receiver).</summary>
    ManifestReceived,

    /// <summary>The receiver's verdict arrived (sender).</summary>
    VerdictCommitted,

    /// <summary>A cancellation, a checksum mismatch, a broken rule, or the peer's end.</summary>
    Failed,

    /// <summary>The deadline passed or the lease was not renewed.</summary>
    TimedOut,
}

/// <summary>
/// State of one handoff on one side and its transition function. Pure: the same state and event always give the same next state,
/// whatever the order, loss or duplication of messages.
/// </summary>
public readonly record struct HandoffState(HandoffStatus Status, bool AllLanded, bool ManifestReceived)
{
    /// <summary>State after an offer was made or received.</summary>
    public static HandoffState Initial => default;

    /// <summary>Whether nothing can change any more.</summary>
    public bool IsTerminal => Status >= HandoffStatus.Committed;

    /// <summary>The state after <paramref name="happened"/>; a terminal state stays as it is.</summary>
    public HandoffState After(HandoffEvent happened)
    {
        if (IsTerminal) return this;
        switch (happened)
        {
            case HandoffEvent.Granted: return Status == HandoffStatus.Offered ? this with { Status = HandoffStatus.Landing } : this;
            case HandoffEvent.Declined: return Status == HandoffStatus.Offered ? this with { Status = HandoffStatus.Rejected } : this;
            case HandoffEvent.VerdictCommitted: return Status == HandoffStatus.Landing ? this with { Status = HandoffStatus.Committed } : this;
            case HandoffEvent.AllLanded: return Status == HandoffStatus.Landing ? CommitWhenComplete(this with { AllLanded = true }) : this;
            case HandoffEvent.ManifestReceived: return Status == HandoffStatus.Landing ? CommitWhenComplete(this with { ManifestReceived = true }) : this;
            case HandoffEvent.Failed: return this with { Status = HandoffStatus.Aborted };
            case HandoffEvent.TimedOut: return this with { Status = HandoffStatus.Expired };
            default: throw new ArgumentOutOfRangeException(nameof(happened), happened, "Unknown event.");
        }
    }

    private static HandoffState CommitWhenComplete(HandoffState state) =>
        state is { AllLanded: true, ManifestReceived: true } ? state with { Status = HandoffStatus.Committed } : state;
}
