namespace KvHandoff.Session;

/// <summary>Where a handoff stands. The last four are terminal: each side reaches exactly one of them, once.</summary>
public enum HandoffStatus : byte
{
    /// <summary>Offered, not answered yet.</summary>
    Offered,

    /// <summary>Granted: layers are landing.</summary>
    Landing,

    /// <summary>Complete and verified here; the receiver that commits for the group has not decided yet.</summary>
    Prepared,

    /// <summary>Every granule landed and verified, manifest received, published.</summary>
    Committed,

    /// <summary>Ended by either side or by an error.</summary>
    Aborted,

    /// <summary>Ended by its deadline or lease.</summary>
    Expired,

    /// <summary>Declined by the receiver.</summary>
    Rejected,
}

/// <summary>Which side of a handoff a state belongs to.</summary>
public enum HandoffRole : byte
{
    /// <summary>Its blocks are read.</summary>
    Sender,

    /// <summary>Its blocks are written, and its verdict is the truth.</summary>
    Receiver,

    /// <summary>A receiver whose part is published only when the group's coordinator says so.</summary>
    GroupReceiver,
}

/// <summary>What can happen to a handoff.</summary>
public enum HandoffEvent : byte
{
    /// <summary>The receiver reserved blocks.</summary>
    Granted,

    /// <summary>The receiver declined.</summary>
    Declined,

    /// <summary>The connection broke, and the sender said that it would come back.</summary>
    Detached,

    /// <summary>The sender came back and goes on.</summary>
    Attached,

    /// <summary>The last granule was verified (receiver).</summary>
    AllLanded,

    /// <summary>The final manifest arrived (receiver).</summary>
    ManifestReceived,

    /// <summary>Every receiver of the group is prepared, and the coordinator has committed (receiver of a group).</summary>
    GroupCommitted,

    /// <summary>The coordinator ended the group (receiver of a group).</summary>
    GroupAborted,

    /// <summary>The receiver's verdict arrived (sender).</summary>
    VerdictCommitted,

    /// <summary>A cancellation, a checksum mismatch, a broken rule, or the peer's end.</summary>
    Failed,

    /// <summary>The deadline passed or the lease was not renewed.</summary>
    TimedOut,

    /// <summary>No thread of this side is inside the blocks any more, and none will enter.</summary>
    UsesEnded,

    /// <summary>The peer can no longer write to the blocks by itself: it said so, or its connection and mapping are gone.</summary>
    WindowClosed,
}

/// <summary>What a side has to do because of a transition.</summary>
[Flags]
public enum HandoffEffects : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Let no thread into the blocks any more; <see cref="HandoffEvent.UsesEnded"/> follows when the last one is out.</summary>
    CloseBlocks = 1,

    /// <summary>Tell the coordinator that this part is complete.</summary>
    Prepare = 2,

    /// <summary>Give the sequence to the host and tell the sender.</summary>
    Publish = 4,

    /// <summary>Complete what waits for the handoff with a failure, and tell the peer.</summary>
    Fail = 8,

    /// <summary>Nobody can touch the blocks any more: give them back.</summary>
    Release = 16,
}

/// <summary>
/// State of one handoff on one side and its transition function. Pure: the same state and event always give the same next state and the same
/// effects, whatever the order, loss or duplication of messages. Both sides, and the tests that explore all orders, run this function.
/// </summary>
/// <param name="Role">The side.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="AllLanded">Receiver: every granule is verified.</param>
/// <param name="ManifestReceived">Receiver: the manifest is here.</param>
/// <param name="IsDetached">Receiver: the connection broke, and the sender may come back.</param>
/// <param name="InUse">Threads of this side may be inside the blocks.</param>
/// <param name="IsExposed">Receiver: the peer can write to the blocks by itself.</param>
public readonly record struct HandoffState(
    HandoffRole Role, HandoffStatus Status, bool AllLanded, bool ManifestReceived, bool IsDetached, bool InUse, bool IsExposed)
{
    /// <summary>State after an offer was made or received.</summary>
    /// <param name="role">The side.</param>
    /// <param name="exposed">Whether the blocks of the receiver are in memory that the sender maps.</param>
    public static HandoffState Initial(HandoffRole role, bool exposed = false) =>
        new(role, HandoffStatus.Offered, false, false, false, InUse: true, exposed && role != HandoffRole.Sender);

    /// <summary>Whether the status can change no more.</summary>
    public bool IsTerminal => Status >= HandoffStatus.Committed;

    /// <summary>
    /// Whether the blocks belong to the handoff no longer: never before the end, and then not while a thread or a peer may touch them. A
    /// receiver's committed blocks are the host's instead.
    /// </summary>
    public bool IsReleased => IsTerminal && !InUse && !IsExposed && (Role == HandoffRole.Sender || Status != HandoffStatus.Committed);

    /// <summary>The state after <paramref name="happened"/>; of a terminal state only what holds the blocks changes.</summary>
    public HandoffState After(HandoffEvent happened) => happened switch
    {
        HandoffEvent.UsesEnded => this with { InUse = false },
        HandoffEvent.WindowClosed => this with { IsExposed = false },
        _ when IsTerminal => this,
        HandoffEvent.Granted when Status == HandoffStatus.Offered => this with { Status = HandoffStatus.Landing },
        HandoffEvent.Declined when Status == HandoffStatus.Offered => this with { Status = HandoffStatus.Rejected },
        HandoffEvent.Detached => this with { IsDetached = true },
        HandoffEvent.Attached => this with { IsDetached = false },
        HandoffEvent.AllLanded when IsReceiving => Complete(this with { AllLanded = true }),
        HandoffEvent.ManifestReceived when IsReceiving => Complete(this with { ManifestReceived = true }),
        HandoffEvent.GroupCommitted when Status == HandoffStatus.Prepared => this with { Status = HandoffStatus.Committed },
        HandoffEvent.GroupAborted when Role == HandoffRole.GroupReceiver => this with { Status = HandoffStatus.Aborted },
        HandoffEvent.VerdictCommitted when Role == HandoffRole.Sender && Status == HandoffStatus.Landing => this with { Status = HandoffStatus.Committed },
        // Who is prepared has given its word: only the coordinator or the deadline ends it.
        HandoffEvent.Failed when Status != HandoffStatus.Prepared => this with { Status = HandoffStatus.Aborted },
        HandoffEvent.TimedOut => this with { Status = HandoffStatus.Expired },
        _ => this,
    };

    /// <summary>What the transition from this state to <paramref name="next"/> asks of the side.</summary>
    public HandoffEffects EffectsOf(HandoffState next)
    {
        HandoffEffects effects = HandoffEffects.None;
        if (next.Status == HandoffStatus.Prepared && Status != HandoffStatus.Prepared) effects |= HandoffEffects.Prepare;
        if (next.IsTerminal && !IsTerminal)
            effects |= HandoffEffects.CloseBlocks | (next.Status == HandoffStatus.Committed ? HandoffEffects.Publish : HandoffEffects.Fail);
        if (next.IsReleased && !IsReleased) effects |= HandoffEffects.Release;
        return effects;
    }

    private bool IsReceiving => Role != HandoffRole.Sender && Status == HandoffStatus.Landing;

    private static HandoffState Complete(HandoffState state) => state is { AllLanded: true, ManifestReceived: true }
        ? state with { Status = state.Role == HandoffRole.GroupReceiver ? HandoffStatus.Prepared : HandoffStatus.Committed }
        : state;
}
