using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>What can happen next in a world, driving both sides with the session's own transition function and doing what its effects ask for.</summary>
internal sealed partial class ProtocolSteps(ProtocolRules rules, ProtocolBounds bounds)
{
    private readonly List<(string Step, ProtocolWorld World)> _next = [];
    private ProtocolWorld _world;
    private LinkWorld _at;
    private int _link;

    /// <summary>Every world that one step leads to, until the next call.</summary>
    internal List<(string Step, ProtocolWorld World)> From(in ProtocolWorld world)
    {
        _next.Clear();
        for (int link = 0; link < bounds.Links; link++)
        {
            SenderSteps(world, link);
            ReceiverSteps(world, link);
        }

        if (bounds.Links > 1) GroupSteps(world);
        return _next;
    }

    /// <summary>The world after every deadline has passed, every thread has left and every peer has let go.</summary>
    internal ProtocolWorld AfterDeadlines(in ProtocolWorld world)
    {
        _world = world;
        for (int link = 0; link < bounds.Links; link++)
        {
            Load(link);
            if (!_at.SenderDead) Fire(sender: true, HandoffEvent.TimedOut);
            if (_at.Known) Fire(sender: false, HandoffEvent.TimedOut);
            LeaveSending();
            LeaveReceiving();
            if (_at.Known) Fire(sender: false, HandoffEvent.WindowClosed);
            _world[link] = _at;
        }

        return _world;
    }

    private void SenderSteps(in ProtocolWorld world, int link)
    {
        LinkWorld at = world[link];
        if (at.SenderDead) return;
        HandoffState sender = at.Sender;
        bool over = sender.IsTerminal, quiet = !bounds.Deaths && link == 1;
        int lease = at.SenderLease;
        for (int life = 0; life <= bounds.Restarts; life++)
        {
            int granted = life;
            if (at.Has(Sent.Grant, life) && !over) Step(world, link, $"sender hears grant {life}", () => HearGrant(granted));
            // What a member's sender hears is of no account to the group.
            if (quiet) continue;
            if (at.Has(Sent.Committed, life)) Step(world, link, $"sender hears committed {life}", () => Fire(true, HandoffEvent.VerdictCommitted));
            if (at.Has(Sent.ReceiverAbort, life)) Step(world, link, $"sender hears abort {life}", () => Fire(true, HandoffEvent.Failed));
        }

        if (!over && !quiet)
        {
            if (at.Has(Sent.Rejected)) Step(world, link, "sender hears rejection", () => Fire(true, sender.Status == HandoffStatus.Offered ? HandoffEvent.Declined : HandoffEvent.Failed));
            if (at.Has(Sent.Known))
            {
                if (bounds.Resume && lease >= 0) Step(world, link, "sender asks for the outcome", () => _at.Send(Sent.Query));
                else Step(world, link, "sender hears that the offer is known", () => Fire(true, HandoffEvent.Failed));
            }

            if (at.Has(Sent.OutcomeCommitted)) Step(world, link, "sender hears outcome committed", () => Fire(true, HandoffEvent.VerdictCommitted));
            if (at.Has(Sent.OutcomeOther)) Step(world, link, "sender hears another outcome", () => Fire(true, HandoffEvent.Failed));
            if (bounds.Deaths) Step(world, link, "sender gives up", () => Fire(true, HandoffEvent.Failed));
            Step(world, link, "sender's deadline", () => Fire(true, HandoffEvent.TimedOut));
            if (bounds.Resume && lease >= 0 && !sender.IsDetached) Step(world, link, "sender's connection breaks", () => Fire(true, HandoffEvent.Detached));
            if (sender.IsDetached) Step(world, link, "sender comes back", () => _at.Send(Sent.Resume));
        }

        if (sender.Status == HandoffStatus.Landing && !sender.IsDetached)
        {
            for (int g = 0; g < bounds.Granules && at.Sending < 0; g++)
            {
                int granule = g;
                if ((at.SentFrames >> g & 1) == 0) Step(world, link, $"sender's thread enters granule {g}", () => _at.Sending = (sbyte)granule);
            }

            if (at.SentFrames == bounds.AllFrames) Step(world, link, "sender finishes", () => _at.Send(Sent.Finish, lease));
        }

        if (at.Sending >= 0) Step(world, link, "sender's thread leaves", LeaveSending);
        if (!bounds.Deaths) return;
        Step(world, link, "sender dies", () =>
        {
            _at.SenderDead = true;
            _at.Sending = -1;
        });
    }

    private void ReceiverSteps(in ProtocolWorld world, int link)
    {
        LinkWorld at = world[link];
        if (!at.Known)
        {
            if (at.Has(Sent.Offer) && !at.Declined)
            {
                Step(world, link, "receiver grants", Grant);
                if (bounds.Deaths) Step(world, link, "receiver declines", () =>
                {
                    _at.Declined = true;
                    _at.Send(Sent.Rejected);
                });
            }

            if (at.Has(Sent.Resume)) Step(world, link, "receiver, restarted, grants afresh", Grant);
            if (at.Has(Sent.Query)) Step(world, link, "receiver, restarted, knows no outcome", () => _at.Send(Sent.OutcomeOther));
        }
        else
        {
            KnownSteps(world, link, at);
        }

        if (at.Life < bounds.Restarts && link == 0)
        {
            Step(world, link, "receiver restarts", () =>
            {
                (_at.Life, _at.Known, _at.Receiving, _at.Landed, _at.Manifest, _at.Declined, _at.Receiver) = ((sbyte)(_at.Life + 1), false, -1, 0, false, false, default);
                // Its ballots are lost, and so is what it said: a member reads one connection to its end before it makes the next.
                if (_link == 0) _world.Group &= GroupSaid.Prepared | GroupSaid.Failed;
            });
        }
    }

    private void KnownSteps(in ProtocolWorld world, int link, LinkWorld at)
    {
        int lease = at.Life;
        HandoffState receiver = at.Receiver;
        if (at.Has(Sent.Query)) Step(world, link, "receiver tells the outcome", () => _at.Send(receiver.Status == HandoffStatus.Committed ? Sent.OutcomeCommitted : Sent.OutcomeOther));
        if (receiver.IsTerminal)
        {
            if (at.Has(Sent.Offer) || at.Has(Sent.Resume)) Step(world, link, "receiver knows the offer", () => _at.Send(Sent.Known));
        }
        else
        {
            if (at.Has(Sent.Resume)) Step(world, link, "receiver takes the sender back", () =>
            {
                Fire(false, HandoffEvent.Attached);
                _at.Send(Sent.Grant, lease);
            });
            for (int g = 0; g < bounds.Granules && at.Receiving < 0; g++)
            {
                int granule = g;
                // The fence: frames of another life's lease are dropped.
                if (at.Has(g == 0 ? Sent.Frame0 : Sent.Frame1, lease) && (at.Landed >> g & 1) == 0)
                    Step(world, link, $"receiver's thread enters granule {g}", () => _at.Receiving = (sbyte)granule);
            }

            if (at.Has(Sent.Finish, lease)) Step(world, link, "receiver hears finish", () =>
            {
                _at.Manifest = true;
                Fire(false, HandoffEvent.ManifestReceived);
            });
            if (at.Has(Sent.SenderAbort, lease)) Step(world, link, "receiver hears abort", () => Fire(false, HandoffEvent.Failed));
            if (bounds.Deaths) Step(world, link, "receiver gives up", () => Fire(false, HandoffEvent.Failed));
            Step(world, link, "receiver's deadline", () => Fire(false, HandoffEvent.TimedOut));
            if (bounds.Resume && !receiver.IsDetached) Step(world, link, "receiver's connection breaks", () => Fire(false, HandoffEvent.Detached));
        }

        if (at.Receiving >= 0)
        {
            Step(world, link, "a frame lands", () => LandFrame(lease));
            if (bounds.Deaths || link == 0) Step(world, link, "a frame is corrupt", () =>
            {
                Fire(false, HandoffEvent.Failed);
                LeaveReceiving();
            });
            if (bounds.Deaths) Step(world, link, "a frame breaks off", LeaveReceiving);
        }

        if (receiver.IsExposed && (at.Has(Sent.Released, lease) || at.SenderDead)) Step(world, link, "the window closes", () => Fire(false, HandoffEvent.WindowClosed));
    }

    // The first receiver decides; what was prepared is told again and again, so that the order of messages is of no account.
    private void GroupSteps(in ProtocolWorld world)
    {
        LinkWorld coordinator = world[0], member = world[1];
        GroupSaid said = world.Group;
        if (coordinator.Known && coordinator.Receiver.IsTerminal)
        {
            bool committed = coordinator.Receiver.Status == HandoffStatus.Committed;
            Step(world, 0, committed ? "coordinator says commit" : "coordinator says abort", () => _world.Group |= committed ? GroupSaid.Commit : GroupSaid.Abort);
        }
        else
        {
            if (said.HasFlag(GroupSaid.Prepared) && !said.HasFlag(GroupSaid.MemberBallot)) Step(world, 0, "coordinator hears prepared", () =>
            {
                _world.Group |= GroupSaid.MemberBallot;
                CommitIfAll();
            });
            if (said.HasFlag(GroupSaid.Failed) && coordinator.Known) Step(world, 0, "coordinator hears failed", () => Fire(false, HandoffEvent.GroupAborted));
        }

        if (!member.Known || member.Receiver.IsTerminal) return;
        if (said.HasFlag(GroupSaid.Commit)) Step(world, 1, "member hears commit", () => Fire(false, HandoffEvent.GroupCommitted));
        if (said.HasFlag(GroupSaid.Abort)) Step(world, 1, "member hears abort", () => Fire(false, HandoffEvent.GroupAborted));
    }

    private void Step(in ProtocolWorld world, int link, string step, Action happens)
    {
        _world = world;
        Load(link);
        try
        {
            happens();
        }
        catch (ProtocolViolation broken)
        {
            throw new ProtocolViolation($"{broken.Message}, in: {Name(link, step)}");
        }

        _world[link] = _at;
        if (_world != world) _next.Add((Name(link, step), _world));
    }
}
