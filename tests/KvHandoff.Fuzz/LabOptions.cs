using KvHandoff.Session;

namespace KvHandoff.Fuzz;

/// <summary>What goes wrong in a case, besides what the network always may do.</summary>
internal enum LabFault
{
    None,
    Drop,
    Duplicate,
    Reorder,
    Truncate,
    Flip,
    Stall,
    DisconnectBefore,
    DisconnectAfter,
    CancelSender,
    CancelReceiver,
    DisposeSender,
    TooLong,
    NoRoom,
    Refused,
    ReceiverRestart,
    NeverCommits,
    StaleFrames,
    LateWriter,
}

/// <summary>How long, over what, and with which guards the lab runs.</summary>
internal sealed record LabOptions
{
    internal ulong Seed { get; init; } = 1;

    internal int Cases { get; init; } = 2000;

    /// <summary>Number of the first case: one that was reported is made alone.</summary>
    internal int First { get; init; }

    /// <summary>Ends the run early; null: when the cases are done.</summary>
    internal TimeSpan? Limit { get; init; }

    /// <summary>Cases that run at the same time; each has its own time, sessions and faults.</summary>
    internal int AtOnce { get; init; } = 6;

    internal string Transport { get; init; } = "loopback";

    internal Guards Without { get; init; }

    /// <summary>Whether threads and descriptors of the process are counted; other work in it would be counted too.</summary>
    internal bool WatchesProcess { get; init; } = true;

    /// <summary>Told about every case that broke a promise.</summary>
    internal Action<string> Report { get; init; } = _ => { };
}

/// <summary>How a case ended.</summary>
internal sealed record CaseResult
{
    internal required CaseSpec Spec { get; init; }

    internal HandoffStatus Sender { get; set; } = HandoffStatus.Aborted;

    internal HandoffStatus? Receiver { get; set; }

    internal bool Corrupted { get; set; }

    internal bool NotTerminal { get; set; }

    internal int LeakedBlocks { get; set; }

    internal TimeSpan Elapsed { get; set; }

    internal int Faults { get; set; }

    /// <summary>The promise that was broken, or null.</summary>
    internal string? Broken { get; set; }

    /// <summary>Of a group: how each sender's pair and each receiver ended.</summary>
    internal List<HandoffStatus> Members { get; } = [];

    /// <summary>What must be equal in every run of the seed.</summary>
    internal string Outcome => $"{Spec.Kind} {Spec.Fault} {Sender} {Receiver} {string.Join(' ', Members)} {Faults} {(Corrupted ? "corrupted" : "")}{Broken}";
}
