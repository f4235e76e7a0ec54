using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

// What a step does to one link: messages, threads, and the effects that the state function asks for.
internal sealed partial class ProtocolSteps
{
    private string Name(int link, string step) => bounds.Links > 1 ? $"[{link}] {step}" : step;

    private void Load(int link)
    {
        _link = link;
        _at = _world[link];
    }

    private void HearGrant(int lease)
    {
        if (_at.SenderLease != lease) _at.SentFrames = 0;
        _at.SenderLease = (sbyte)lease;
        Fire(true, HandoffEvent.Granted);
        Fire(true, HandoffEvent.Attached);
    }

    private void Grant()
    {
        _at.Known = true;
        _at.Receiver = HandoffState.Initial(bounds.ReceiverRole, bounds.Window);
        Fire(false, HandoffEvent.Granted);
        _at.Send(Sent.Grant, _at.Life);
    }

    private void LeaveSending()
    {
        if (_at.Sending < 0) return;
        // Its last act before it leaves: by its own hand, or as bytes of a frame.
        if (bounds.Window && _at.SenderLease == _at.Life && _at.IsFree(_at.SenderLease)) throw new ProtocolViolation("The sender wrote into blocks that were given back");
        if (_at.SenderFree) throw new ProtocolViolation("The sender read blocks that were given back");
        _at.Send(_at.Sending == 0 ? Sent.Frame0 : Sent.Frame1, _at.SenderLease);
        _at.SentFrames |= (byte)(1 << _at.Sending);
        _at.Sending = -1;
        if (_at.SentFrames == bounds.AllFrames) Fire(true, HandoffEvent.AllLanded);
        if (_at.Sender.IsTerminal) Fire(true, HandoffEvent.UsesEnded);
    }

    private void LandFrame(int lease)
    {
        if (_at.IsFree(lease)) throw new ProtocolViolation("A frame was received into blocks that were given back");
        _at.Landed |= (byte)(1 << _at.Receiving);
        if (_at.Landed == bounds.AllFrames) Fire(false, HandoffEvent.AllLanded);
        LeaveReceiving();
    }

    private void LeaveReceiving()
    {
        if (_at.Receiving < 0) return;
        _at.Receiving = -1;
        if (_at.Receiver.IsTerminal) Fire(false, HandoffEvent.UsesEnded);
    }

    private void CommitIfAll()
    {
        if (_world.Group.HasFlag(GroupSaid.OwnBallot | GroupSaid.MemberBallot)) Fire(false, HandoffEvent.GroupCommitted);
    }

    private void Fire(bool sender, HandoffEvent happened)
    {
        HandoffState before = sender ? _at.Sender : _at.Receiver, next = rules.After(before, happened);
        HandoffEffects effects = rules.EffectsOf(before, next);
        if (before.IsTerminal && next.Status != before.Status) throw new ProtocolViolation($"{before.Status} of the {(sender ? "sender" : "receiver")} became {next.Status}");
        if (sender) _at.Sender = next;
        else _at.Receiver = next;
        if (sender) SenderDoes(effects);
        else ReceiverDoes(effects);
        // Nobody is inside: the close itself finds out.
        if (effects.HasFlag(HandoffEffects.CloseBlocks) && (sender ? _at.Sending : _at.Receiving) < 0) Fire(sender, HandoffEvent.UsesEnded);
    }

    private void SenderDoes(HandoffEffects effects)
    {
        if (effects.HasFlag(HandoffEffects.Publish) && !_at.EverCommitted) throw new ProtocolViolation("The sender committed what no receiver had committed");
        if (effects.HasFlag(HandoffEffects.Fail) && _at.SenderLease >= 0) _at.Send(Sent.SenderAbort, _at.SenderLease);
        if (!effects.HasFlag(HandoffEffects.Release)) return;
        if (_at.Sending >= 0) throw new ProtocolViolation("The sender gave its blocks back with a thread inside");
        _at.SenderFree = true;
        if (_at.SenderLease >= 0) _at.Send(Sent.Released, _at.SenderLease);
    }

    private void ReceiverDoes(HandoffEffects effects)
    {
        if (effects.HasFlag(HandoffEffects.Prepare))
        {
            _at.EverPrepared = true;
            _world.Group |= _link == 0 ? GroupSaid.OwnBallot : GroupSaid.Prepared;
            if (_link == 0) CommitIfAll();
        }

        if (effects.HasFlag(HandoffEffects.Publish))
        {
            if (_at.Landed != bounds.AllFrames || !_at.Manifest) throw new ProtocolViolation($"Published with frames {_at.Landed:b} of {bounds.AllFrames:b} landed, manifest {_at.Manifest}");
            if (bounds.Links > 1 && !(_at.EverPrepared && _world[1 - _link].EverPrepared)) throw new ProtocolViolation("A member published before all were prepared");
            _at.EverCommitted = true;
            _at.Send(Sent.Committed, _at.Life);
        }

        if (effects.HasFlag(HandoffEffects.Fail))
        {
            _at.Send(Sent.ReceiverAbort, _at.Life);
            if (_link == 1) _world.Group |= GroupSaid.Failed;
            if (_link == 1 && _at.Receiver.Status == HandoffStatus.Aborted && _at.EverPrepared && _world[0].Receiver.Status == HandoffStatus.Committed)
                throw new ProtocolViolation("A member broke its word after the group was committed");
        }

        if (!effects.HasFlag(HandoffEffects.Release)) return;
        if (_at.Receiving >= 0) throw new ProtocolViolation("The receiver gave blocks back with a thread inside");
        if (_at.Receiver.Status == HandoffStatus.Committed) throw new ProtocolViolation("The receiver gave published blocks back");
        _at.FreeLeases |= (byte)(1 << _at.Life);
    }
}
