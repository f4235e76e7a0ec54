using KvHandoff.Wire;

namespace KvHandoff.Session;

// What senders, the group's coordinator and time do to a handoff.
public sealed partial class IncomingHandoff
{
    /// <summary>Text of the failure that ended the handoff, for peers that ask.</summary>
    internal string FailureText
    {
        get
        {
            lock (_gate) return _failure?.Message ?? "";
        }
    }

    /// <summary>Completes when the blocks of an ended handoff are free.</summary>
    internal Task ReleasedAsync() => _released.Task;

    /// <summary>A sender says that it has published everything.</summary>
    internal void AcceptFinish(IncomingPart part, Finish finish)
    {
        if (finish.Manifest.Position != TotalTokens)
        {
            Fail(AbortReason.ProtocolError, $"The manifest is for {finish.Manifest.Position} tokens; {TotalTokens} were offered.");
            return;
        }

        part.Touch();
        part.Finish();
        bool all;
        lock (_gate)
        {
            // Senders of a group may all carry it, or one of them; token ids make it whole.
            if (_manifest is null || (_manifest.TokenIds.IsDefaultOrEmpty && !finish.Manifest.TokenIds.IsDefaultOrEmpty)) _manifest = finish.Manifest;
            if (!finish.Canary.IsEmpty) NoteCanary(Array.IndexOf(_parts, part), finish.Canary);
            all = Senders.All(s => _parts[s] is { IsFinished: true });
        }

        if (!all) return;
        if (_canaries.Count == 0) Apply(HandoffEvent.ManifestReceived);
        else _ = Task.Run(CheckCanariesAsync);
    }

    /// <summary>Ends the handoff because of this side or the sender.</summary>
    internal bool Fail(AbortReason reason, string message)
    {
        HandoffEvent happened = reason == AbortReason.Expired ? HandoffEvent.TimedOut : HandoffEvent.Failed;
        return Fail(happened, reason, message);
    }

    /// <summary>Ends the handoff; true if it was this call that did.</summary>
    internal bool Fail(HandoffEvent happened, AbortReason reason, string message)
    {
        HandoffFailure failure = reason switch
        {
            AbortReason.Expired => HandoffFailure.Expired,
            AbortReason.Corrupt => HandoffFailure.Corrupt,
            AbortReason.PeerGone => HandoffFailure.PeerGone,
            AbortReason.ProtocolError => HandoffFailure.ProtocolMismatch,
            AbortReason.StaleEpoch => HandoffFailure.StaleEpoch,
            _ => HandoffFailure.Aborted,
        };
        string from = _parts.FirstOrDefault(p => p?.Peer is not null)?.Peer?.Name ?? "a sender that is away";
        return Apply(happened, new HandoffException(failure, $"Handoff {Id} from {from}: {message}"), reason, message).HasFlag(HandoffEffects.Fail);
    }

    /// <summary>A sender's connection broke.</summary>
    internal void Detach(IncomingPart part, string reason)
    {
        if (part.FramesLeft == 0 && part.IsFinished && Status == HandoffStatus.Prepared) return;
        if (!part.CanResume)
        {
            Fail(AbortReason.PeerGone, reason);
            return;
        }

        part.Detach();
        Apply(HandoffEvent.Detached);
    }

    /// <summary>A sender is back.</summary>
    internal void Attach(IncomingPart part, ReceiverPeer peer)
    {
        part.Attach(peer);
        if (_parts.All(p => p is null || p.Peer is not null)) Apply(HandoffEvent.Attached);
    }

    /// <summary>The coordinator's word.</summary>
    internal void Decide(Decision decision)
    {
        if (decision.State == HandoffOutcome.Committed) Apply(HandoffEvent.GroupCommitted);
        else Fail(HandoffEvent.GroupAborted, decision.Reason, $"The group's coordinator ended it: {decision.Message}");
    }

    /// <summary>Applies an event and does what it asks for.</summary>
    internal HandoffEffects Apply(HandoffEvent happened, HandoffException? failure = null, AbortReason reason = AbortReason.Internal, string message = "")
    {
        HandoffEffects effects;
        HandoffStatus status;
        lock (_gate)
        {
            HandoffState next = _state.After(happened);
            effects = _state.EffectsOf(next);
            if (!_state.IsTerminal && happened is HandoffEvent.AllLanded or HandoffEvent.ManifestReceived) _completeAt = PhaseClock.Now;
            _state = next;
            status = next.Status;
            if (effects.HasFlag(HandoffEffects.Fail)) _failure = failure;
            if (effects.HasFlag(HandoffEffects.Publish)) Target.Advance(OwnTokens - Target.Tokens);
        }

        Note(happened);
        if (effects.HasFlag(HandoffEffects.Prepare)) _receiver.Prepared(this);
        if (effects.HasFlag(HandoffEffects.Publish)) Publish();
        if (effects.HasFlag(HandoffEffects.Fail))
        {
            EndAccount(status, failure);
            foreach (TaskCompletionSource layer in _layers) FailTask(layer, failure!);
            FailTask(_allLanded, failure!);
            FailTask(_committed, failure!);
            _receiver.Ended(this, status, FailureText);
            foreach (IncomingPart part in Parts) part.Peer?.Tell(new Abort(Id, part.LeaseId, reason, message));
        }

        if (effects.HasFlag(HandoffEffects.Release)) ReleaseBlocks();
        if (!effects.HasFlag(HandoffEffects.CloseBlocks)) return effects;
        Use.Close();
        // A receive that is still inside the blocks ends when its frame is complete; a stalled one only with its connection.
        if (Use.Count > 0 && reason is AbortReason.Expired or AbortReason.PeerGone)
        {
            foreach (IncomingPart part in Parts) part.Peer?.AbortStreams();
        }

        return effects;
    }

    private int OwnTokens => Parts.First().Shape.OwnTokens;

    private void Publish()
    {
        Clock.Add(HandoffPhase.Commit, _completeAt);
        _receiver.Ended(this, HandoffStatus.Committed, "");
        foreach (IncomingPart part in Parts)
        {
            part.Peer?.Tell(new Committed(Id, part.LeaseId, part.Shape.KvBytes, Volatile.Read(ref _wireBytes), Volatile.Read(ref _bytesCopied), part.Digest, [.. Clock.Snapshot()]));
        }

        EndAccount(HandoffStatus.Committed, null);
        _committed.TrySetResult();
    }

    private static void FailTask(TaskCompletionSource task, HandoffException failure)
    {
        if (task.TrySetException(failure)) _ = task.Task.Exception;
    }
}
