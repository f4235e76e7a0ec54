using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>An offer that fits, for the host to admit or to refuse.</summary>
public sealed record AdmissionRequest
{
    /// <summary>The handoff.</summary>
    public required Guid HandoffId { get; init; }

    /// <summary>The request's name at the sender's host.</summary>
    public required string RequestId { get; init; }

    /// <summary>Who offers.</summary>
    public required string SenderName { get; init; }

    /// <summary>Tokens of the sequence.</summary>
    public required int TotalTokens { get; init; }

    /// <summary>Bytes that it takes in this cache.</summary>
    public required long KvBytes { get; init; }

    /// <summary>Bytes that are free in it, in the layer group that has the least.</summary>
    public required long BytesFree { get; init; }

    /// <summary>Higher goes first.</summary>
    public required byte Priority { get; init; }

    /// <summary>What it is for.</summary>
    public required HandoffIntent Intent { get; init; }

    /// <summary>The sender gives up after this time.</summary>
    public required TimeSpan Deadline { get; init; }

    /// <summary>Handoffs that are landing.</summary>
    public required int OpenHandoffs { get; init; }

    /// <summary>Bytes that the ones that are landing were granted.</summary>
    public required long GrantedBytes { get; init; }

    /// <summary>Offers that wait for room.</summary>
    public required int WaitingOffers { get; init; }
}

/// <summary>The host's answer to an offer.</summary>
/// <param name="IsAdmitted">Whether it is granted.</param>
/// <param name="Reason">Why not.</param>
/// <param name="RetryAfter">When another try may succeed; zero: never.</param>
public readonly record struct AdmissionVerdict(bool IsAdmitted, string Reason, TimeSpan RetryAfter)
{
    /// <summary>Grant it.</summary>
    public static AdmissionVerdict Admit => new(true, "", TimeSpan.Zero);

    /// <summary>Refuse it; the sender is told why, and when to try again.</summary>
    public static AdmissionVerdict Refuse(string reason, TimeSpan retryAfter = default) => new(false, reason, retryAfter);
}
