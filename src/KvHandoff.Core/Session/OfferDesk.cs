using System.Collections.Immutable;
using System.Security.Cryptography;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Answers offers: refuses what is wrong, reserves all blocks of what fits before a byte is sent, and keeps those that may wait in order of
/// priority and age. A sequence gets all of its blocks or none, so no two handoffs wait for each other's.
/// </summary>
internal sealed class OfferDesk(KvReceiver receiver, PagedKvCache cache, KvReceiverOptions options)
{
    private readonly Lock _gate = new();
    private readonly List<WaitingOffer> _waiting = [];

    /// <summary>Offers that wait for room.</summary>
    internal int Waiting
    {
        get
        {
            lock (_gate) return _waiting.Count;
        }
    }

    /// <summary>Answers an offer at once, or keeps it: then the answer goes to the peer when there is room or its time is up.</summary>
    internal async ValueTask AnswerAsync(Offer offer, ReceiverPeer peer)
    {
        (ControlMessage? answer, IncomingHandoff? opened) = await ExamineAsync(offer, peer).ConfigureAwait(false);
        if (answer is not null) Tell(answer, opened, offer, peer);
    }

    // The sender first: it begins while the host hears of it.
    private void Tell(ControlMessage answer, IncomingHandoff? opened, Offer offer, ReceiverPeer peer)
    {
        peer.Tell(answer);
        if (opened is not null) receiver.Announce(opened);
        HandoffAccount.Answered(receiver, offer, answer);
    }

    private async ValueTask<(ControlMessage? Answer, IncomingHandoff? Opened)> ExamineAsync(Offer offer, ReceiverPeer peer)
    {
        if (receiver.FindLanding(offer.HandoffId) is { } known)
        {
            if (offer.ResumeLease != 0) return (await ResumeAsync(known, offer, peer).ConfigureAwait(false), null);
            if (known.Group is null) return (Duplicate(offer), null);
        }
        else if (receiver.OutcomeOf(offer.HandoffId).State != HandoffOutcome.Unknown)
        {
            return (Duplicate(offer), null);
        }

        if (Examine(offer, peer, out HandoffShape? shape, out HandoffGroup? group, out HandoffTicket? ticket) is { } refusal) return (refusal, null);
        lock (_gate)
        {
            // Who waits already goes first, unless the newcomer matters more.
            bool mayTry = !_waiting.Any(w => w.Offer.Priority >= offer.Priority);
            IncomingHandoff? opened = null;
            ControlMessage? answer = mayTry || offer.WaitMilliseconds == 0 ? TryGrant(offer, peer, shape!, group, ticket, out opened) : null;
            if (answer is Grant or Reject { Reason: not RejectReason.NoSpace } || offer.WaitMilliseconds == 0) return (answer, opened);
            _waiting.Add(new WaitingOffer(offer, peer, shape!, group, ticket, receiver.Clock.NowMilliseconds + Math.Min(offer.WaitMilliseconds, offer.DeadlineMilliseconds)));
            return default;
        }
    }

    /// <summary>Gives room that has become free to those that wait, the most urgent first, and refuses those whose time is up.</summary>
    internal void ServeWaiting(long now)
    {
        lock (_gate)
        {
            if (_waiting.Count == 0) return;
            // A stable order: equals stay in order of arrival. The first that does not fit keeps its place; nobody overtakes it for ever.
            foreach (WaitingOffer waiting in _waiting.OrderByDescending(w => w.Offer.Priority).ToArray())
            {
                if (waiting.Peer.IsGone)
                {
                    _waiting.Remove(waiting);
                    continue;
                }

                ControlMessage answer = TryGrant(waiting.Offer, waiting.Peer, waiting.Shape, waiting.Group, waiting.Ticket, out IncomingHandoff? opened);
                if (answer is Reject { Reason: RejectReason.NoSpace } && now < waiting.Until) break;
                _waiting.Remove(waiting);
                Tell(answer, opened, waiting.Offer, waiting.Peer);
            }

            foreach (WaitingOffer late in _waiting.Where(w => now >= w.Until).ToArray())
            {
                _waiting.Remove(late);
                Tell(NoSpace(late.Offer), null, late.Offer, late.Peer);
            }
        }
    }

    /// <summary>Drops an offer that waits, because its sender gave it up.</summary>
    internal bool Withdraw(Guid id, ReceiverPeer peer)
    {
        lock (_gate) return _waiting.RemoveAll(w => w.Offer.HandoffId == id && ReferenceEquals(w.Peer, peer)) > 0;
    }

    private Reject? Examine(Offer offer, ReceiverPeer peer, out HandoffShape? shape, out HandoffGroup? group, out HandoffTicket? ticket)
    {
        ticket = null;
        shape = null;
        group = null;
        TransferPlan plan = peer.Plan;
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(offer.Codec, plan);
        if (codecs.IsEmpty) return Refuse(offer, RejectReason.BadOffer, $"Codec {offer.Codec} is not known here.");
        if (HandoffShape.Refusal(plan, offer.TotalTokens, codecs) is { } refusal) return Refuse(offer, RejectReason.BadOffer, refusal);
        if (offer.DeadlineMilliseconds <= 0) return Refuse(offer, RejectReason.BadOffer, $"The deadline is {offer.DeadlineMilliseconds} ms; it must be positive.");
        if (!offer.Group.IsEmpty && HandoffGroup.TryRead(offer.Group.Span, out group) is { } bad) return Refuse(offer, RejectReason.BadOffer, bad.Message);
        if (HandoffParts.TryShape(plan, sending: false, offer.TotalTokens, codecs, group, out shape) is { } wrong) return Refuse(offer, RejectReason.BadOffer, wrong);
        KvShard expected = group is null ? plan.SourcePart.Shard with { Tokens = new IndexRange(0, offer.TotalTokens) } : group.Sources[group.Source];
        // The wire carries heads of the widest group only; a list per group is in the group's description.
        if (offer.Shard != expected with { GroupHeads = default }) return Refuse(offer, RejectReason.BadOffer, $"The offer is for shard {offer.Shard}; this sender's is {expected}.");
        if (group is not null && group.Coordinator != group.Target && options.GroupCoordinator is null)
            return Refuse(offer, RejectReason.BadOffer, $"Receiver {group.Coordinator} is to commit for the group; this receiver, {group.Target}, has not been told where it is.");
        if (options.Tickets is not { } tickets) return null;
        if (offer.Ticket.IsEmpty) return Refuse(offer, RejectReason.Unauthorized, "This receiver asks for a ticket; the offer has none.");
        TicketVerdict verdict = tickets.Verify(offer.Ticket.Span, peer.Name, offer.HandoffId, shape!.KvBytes);
        ticket = verdict.Ticket;
        return verdict.IsValid ? null : Refuse(offer, RejectReason.Unauthorized, verdict.Text);
    }

    // Called with the gate held.
    private ControlMessage TryGrant(Offer offer, ReceiverPeer peer, HandoffShape shape, HandoffGroup? group, HandoffTicket? ticket, out IncomingHandoff? opened)
    {
        opened = null;
        long started = PhaseClock.Now;
        if (receiver.FindLanding(offer.HandoffId) is { } open) return Join(open, offer, peer, shape, group);
        var request = new AdmissionRequest
        {
            HandoffId = offer.HandoffId,
            RequestId = offer.RequestId,
            SenderName = peer.Name,
            TotalTokens = offer.TotalTokens,
            KvBytes = shape.KvBytes,
            BytesFree = BytesFree(),
            Priority = offer.Priority,
            Intent = offer.Intent,
            Deadline = TimeSpan.FromMilliseconds(offer.DeadlineMilliseconds),
            OpenHandoffs = receiver.OpenHandoffs,
            GrantedBytes = receiver.GrantedBytes,
            WaitingOffers = _waiting.Count,
        };
        KvSequence sequence = cache.CreateSequence();
        int reused = offer.PrefixHashes.IsEmpty || group is not null ? 0 : Reuse(sequence, offer);
        if (!sequence.TryReserve(shape.OwnTokens))
        {
            sequence.Dispose();
            return NoSpace(offer);
        }

        AdmissionVerdict verdict = options.Admission?.Invoke(request) ?? AdmissionVerdict.Admit;
        if (!verdict.IsAdmitted)
        {
            sequence.Dispose();
            return new Reject(offer.HandoffId, RejectReason.Busy, verdict.Reason, 0, 0, (long)Math.Clamp(verdict.RetryAfter.TotalMilliseconds, 0, WireConstants.MaxMilliseconds));
        }

        ImmutableArray<int> senders = group is null ? [0] : HandoffParts.SendersTo(peer.Plan, offer.TotalTokens, group);
        var handoff = new IncomingHandoff(receiver, offer, group, sequence, reused, HandoffParts.FramesPerLayer(peer.Plan, offer.TotalTokens, shape, group), senders,
            exposed: peer.HasWindow && shape.Placed is not null && group is null)
        {
            Ticket = ticket,
        };
        receiver.Open(handoff);
        Grant grant = Attach(handoff, offer, peer, shape, group?.Source ?? 0, reused);
        handoff.Clock.Add(HandoffPhase.Reserve, started);
        opened = handoff;
        return grant;
    }

    private ControlMessage Join(IncomingHandoff open, Offer offer, ReceiverPeer peer, HandoffShape shape, HandoffGroup? group)
    {
        if (open.Group is null || group is null) return Duplicate(offer);
        if (!open.Group.IsSameGroup(group) || open.TotalTokens != offer.TotalTokens) return Refuse(offer, RejectReason.BadOffer, $"The offer describes another group than the first one of {offer.HandoffId}.");
        return open.PartOf(group.Source) is not null ? Duplicate(offer) : Attach(open, offer, peer, shape, group.Source, 0);
    }

    private Grant Attach(IncomingHandoff handoff, Offer offer, ReceiverPeer peer, HandoffShape shape, int source, int reused)
    {
        ulong lease = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;
        var part = new IncomingPart(handoff, peer, offer, lease, options.Lease, shape, reused, receiver.Clock);
        handoff.Add(source, part);
        foreach (HandoffPiece piece in shape.Pieces)
        {
            int have = Math.Clamp(reused / KvSegment.GranuleTokens - piece.FirstGranule, 0, piece.Granules);
            foreach (int layer in piece.Layers) handoff.Count(shape.OwnLayer(layer), have);
        }

        if (peer.IsGone) handoff.Detach(part, "The sender left while its offer was answered.");
        return part.ToGrant();
    }

    private async ValueTask<ControlMessage?> ResumeAsync(IncomingHandoff handoff, Offer offer, ReceiverPeer peer)
    {
        IncomingPart? part = handoff.Parts.FirstOrDefault(p => p.LeaseId == offer.ResumeLease);
        if (part is null) return Refuse(offer, RejectReason.BadOffer, $"Handoff {offer.HandoffId} has no lease {offer.ResumeLease:x16}.");
        bool same = part.Offer.TotalTokens == offer.TotalTokens && part.Offer.Shard == offer.Shard && part.Offer.Codec == offer.Codec && part.Offer.Group == offer.Group;
        if (!same) return Refuse(offer, RejectReason.BadOffer, "The offer differs from the one that it goes on with.");
        // No thread of the old connection may be inside the blocks when what has landed is counted.
        if (part.Peer is { } before && !ReferenceEquals(before, peer)) before.Disconnect("The sender came back over another connection.");
        await part.StoppedAsync().ConfigureAwait(false);
        handoff.Attach(part, peer);
        return (handoff.Status is HandoffStatus.Landing or HandoffStatus.Prepared ? part.ToGrantAgain() : null) ?? (ControlMessage)Duplicate(offer);
    }

    private int Reuse(KvSequence sequence, Offer offer)
    {
        if (options.PrefixIndex is not { } index) return 0;
        PrefixMatch match = index.Lookup(HandoffParts.HashesOf(offer.PrefixHashes).AsSpan()).AtMost(offer.TotalTokens);
        return match.Tokens > 0 && sequence.TryShareFrom(match) ? match.Tokens : 0;
    }

    private Reject NoSpace(Offer offer)
    {
        long needed = PagedKvCache.RequiredBytes(cache.Layout, offer.TotalTokens), free = BytesFree();
        return new Reject(offer.HandoffId, RejectReason.NoSpace, $"{offer.TotalTokens} tokens need {needed} bytes; {free} are free.", needed, free, 100);
    }

    private long BytesFree() => cache.Pools.Sum(p => KvBlockPool.RequiredBytes(p.Group, p.FreeSlots));

    private Reject Duplicate(Offer offer) =>
        Refuse(offer, RejectReason.Duplicate, $"Handoff {offer.HandoffId} is known here: {receiver.OutcomeOf(offer.HandoffId).State}. Query it instead.");

    private static Reject Refuse(Offer offer, RejectReason reason, string text) => new(offer.HandoffId, reason, text, 0, 0, 0);

    private sealed record WaitingOffer(Offer Offer, ReceiverPeer Peer, HandoffShape Shape, HandoffGroup? Group, HandoffTicket? Ticket, long Until);
}
