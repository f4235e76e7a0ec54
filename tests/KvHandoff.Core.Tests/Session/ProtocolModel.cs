using System.Runtime.InteropServices;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>The transition functions that an exploration runs: the session's own, or broken ones that it has to catch.</summary>
internal sealed record ProtocolRules(Func<HandoffState, HandoffEvent, HandoffState> After, Func<HandoffState, HandoffState, HandoffEffects> EffectsOf)
{
    internal static ProtocolRules Session { get; } = new((state, happened) => state.After(happened), (state, next) => state.EffectsOf(next));
}

/// <summary>How large the world is that is explored.</summary>
/// <param name="Links">Receivers of the sequence; with more than one the first commits for the group.</param>
/// <param name="Granules">Frames that each receiver has to get.</param>
/// <param name="Window">The sender writes into the blocks by itself.</param>
/// <param name="Resume">The sender comes back after a break.</param>
/// <param name="Restarts">How often the first receiver may be restarted.</param>
/// <param name="Deaths">Whether senders die, receivers decline, and either side gives up before its deadline.</param>
internal sealed record ProtocolBounds(int Links, int Granules, bool Window = false, bool Resume = false, int Restarts = 0, bool Deaths = true)
{
    internal HandoffRole ReceiverRole => Links > 1 ? HandoffRole.GroupReceiver : HandoffRole.Receiver;

    internal int AllFrames => (1 << Granules) - 1;
}

/// <summary>
/// Messages that were ever sent. Delivering one does not take it away: that is duplication; never delivering it is loss; any time is reordering. Those of
/// a lease come once per lease.
/// </summary>
[Flags]
internal enum Sent : uint
{
    None = 0,
    Offer = 1,
    Resume = 1 << 1,
    Rejected = 1 << 2,
    Known = 1 << 3,
    Query = 1 << 4,
    OutcomeCommitted = 1 << 5,
    OutcomeOther = 1 << 6,

    // Bit + lease, leases 0 and 1.
    Grant = 1 << 7,
    Finish = 1 << 9,
    Committed = 1 << 11,
    SenderAbort = 1 << 13,
    ReceiverAbort = 1 << 15,
    Released = 1 << 17,
    Frame0 = 1 << 19,
    Frame1 = 1 << 21,
}

/// <summary>What members of the group and the one that decides have said.</summary>
[Flags]
internal enum GroupSaid : byte
{
    None = 0,
    Prepared = 1,
    Failed = 2,
    Commit = 4,
    Abort = 8,

    // Ballots that the coordinator has counted; lost with it.
    OwnBallot = 16,
    MemberBallot = 32,
}

/// <summary>One sender's handoff and one receiver's, and what is between them. Packed: worlds are compared as bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal record struct LinkWorld
{
    internal HandoffState Sender, Receiver;
    internal Sent Messages;
    internal sbyte SenderLease, Life, Receiving, Sending;
    internal byte SentFrames, Landed, FreeLeases;
    internal bool SenderDead, Known, Manifest, SenderFree, EverCommitted, EverPrepared, Declined;

    internal static LinkWorld Start() => new()
    {
        Sender = HandoffState.Initial(HandoffRole.Sender),
        Messages = Sent.Offer,
        SenderLease = -1,
        Receiving = -1,
        Sending = -1,
    };

    internal readonly bool Has(Sent message) => (Messages & message) != 0;

    internal readonly bool Has(Sent message, int lease) => ((uint)Messages & (uint)message << lease) != 0;

    internal void Send(Sent message) => Messages |= message;

    internal void Send(Sent message, int lease) => Messages |= (Sent)((uint)message << lease);

    /// <summary>Whether a frame of this side's handoff may still enter or be inside the receiver's blocks by the sender's own hand.</summary>
    internal readonly bool IsFree(int lease) => (FreeLeases >> lease & 1) != 0;
}

/// <summary>Everything: up to two links, and the group's messages.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal record struct ProtocolWorld
{
    internal LinkWorld First, Second;
    internal GroupSaid Group;

    internal LinkWorld this[int link]
    {
        readonly get => link == 0 ? First : Second;
        set
        {
            if (link == 0) First = value;
            else Second = value;
        }
    }
}

/// <summary>Compares worlds as bytes, which is what an exploration spends its time on.</summary>
internal sealed class ProtocolWorldBytes : IEqualityComparer<ProtocolWorld>
{
    public bool Equals(ProtocolWorld x, ProtocolWorld y) => Bytes(x).SequenceEqual(Bytes(y));

    public int GetHashCode(ProtocolWorld world)
    {
        ulong hash = 0;
        ReadOnlySpan<byte> bytes = Bytes(world);
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) hash = (hash ^ word) * 0x9E3779B97F4A7C15 + (hash >> 29);
        foreach (byte b in bytes[(bytes.Length / 8 * 8)..]) hash = (hash ^ b) * 0x9E3779B97F4A7C15 + (hash >> 29);
        return (int)(hash >> 32);
    }

    private static ReadOnlySpan<byte> Bytes(in ProtocolWorld world) => MemoryMarshal.AsBytes(new ReadOnlySpan<ProtocolWorld>(in world));
}

/// <summary>A rule of the design that a step broke.</summary>
internal sealed class ProtocolViolation(string message) : Exception(message);
