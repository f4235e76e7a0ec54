using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// What the receiver, the connection and time do to a handoff.
public sealed partial class OutgoingHandoff
{
    /// <summary>Whether the receiver keeps what has landed while the connection is down. Rows written in place are in no cache of this side that could send them again.</summary>
    internal bool CanResume
    {
        get
        {
            lock (_gate) return _grant is not null && !IsInPlace && !_state.IsTerminal && _sender.ResumeWithin > TimeSpan.Zero && LandedFrames.Fits(Shape.Frames);
        }
    }

    /// <summary>The offer as it goes over the wire; after a break it names the lease that it goes on with.</summary>
    internal Offer ToMessage(CodecId codec) => new(Id, TotalTokens, Shape.Own, codec, Math.Max(1, _deadline - _sender.Clock.NowMilliseconds), Offer.RequestId, Offer.Priority)
    {
        Intent = Offer.Intent,
        WaitMilliseconds = (long)Offer.WaitForRoom.TotalMilliseconds,
        ResumeMilliseconds = !IsInPlace && LandedFrames.Fits(Shape.Frames) ? (long)_sender.ResumeWithin.TotalMilliseconds : 0,
        ResumeLease = _grant?.LeaseId ?? 0,
        PrefixHashes = Offer.PrefixHashes,
        Ticket = Offer.Ticket,
        Group = Offer.Group?.ToBytes() ?? default,
        TraceParent = _traceParent,
    };

    /// <summary>Room was granted: at first, or again after a break, with what has landed meanwhile.</summary>
    internal void OnGrant(Grant grant, SenderLink link)
    {
        Finish? finish;
        lock (_gate)
        {
            if (_state.IsTerminal) return;
            KvSequence? window = null;
            if ((Misfit(grant) ?? WindowOf(grant, link, out window)) is { } misfit)
            {
                var failure = new HandoffException(HandoffFailure.ProtocolMismatch, misfit);
                if (!_granted.TrySetException(failure)) _ = EndAsync(HandoffEvent.Failed, failure, AbortReason.ProtocolError);
                return;
            }

            bool again = _grant is not null;
            _grant = grant;
            NoteGrant(again);
            _link = link;
            Window = window;
            _renewedAt = _sender.Clock.NowMilliseconds;
            _state = _state.After(HandoffEvent.Granted).After(HandoffEvent.Attached);
            List<(HandoffPiece Piece, int Frame)> due = Due();
            _published.Resume(grant.Landed, grant.ReusedTokens, due);
            Send(due);
            if (again)
            {
                if (_finish is not null) _finish = _finish with { LeaseId = grant.LeaseId };
            }

            finish = _finish;
        }

        _granted.TrySetResult(grant);
        if (finish is not null) _ = link.SendAsync(finish);
    }

    internal void OnCommitted(Committed verdict)
    {
        if (Apply(HandoffEvent.VerdictCommitted, null).HasFlag(HandoffEffects.Publish)) EndAccount(null);
        if (Status == HandoffStatus.Committed) _verdict.TrySetResult(verdict);
    }

    /// <summary>The link is gone; the handoff waits for the next one.</summary>
    internal void Detach()
    {
        lock (_gate) _state = _state.After(HandoffEvent.Detached);
        HandoffActivity.Note(_activity, "detached");
    }

    /// <summary>Ends the handoff on this side; true if it was this call that did.</summary>
    internal bool End(HandoffEvent happened, HandoffException failure) => Apply(happened, failure).HasFlag(HandoffEffects.Fail);

    /// <summary>Ends it, tells the receiver, and completes when the blocks are reusable.</summary>
    internal async Task EndAsync(HandoffEvent happened, HandoffException failure, AbortReason reason)
    {
        if (!End(happened, failure)) return;
        _ = _link.SendAsync(new Abort(Id, _grant?.LeaseId ?? 0, reason, failure.Message));
        await _released.Task.ConfigureAwait(false);
    }

    /// <summary>Called a few times a second: renews the lease in time and ends the handoff at its deadline.</summary>
    internal void Tick(long now)
    {
        if (now >= _deadline)
        {
            _ = EndAsync(HandoffEvent.TimedOut, new HandoffException(HandoffFailure.Expired,
                $"Handoff {Id} was not committed within {Offer.Deadline.TotalMilliseconds} ms; its outcome at the receiver is unknown and can be queried."), AbortReason.Expired);
            // A stream that is stuck in a send holds the blocks; only the end of its connection frees them.
            if (Use.Count > 0) _link.Disconnect($"A send did not finish within the deadline of handoff {Id}.");
            return;
        }

        Grant? grant = _grant;
        if (grant is null || now - _renewedAt < grant.LeaseMilliseconds / 3) return;
        _renewedAt = now;
        _ = _link.SendAsync(new Renew(Id, grant.LeaseId, grant.LeaseMilliseconds));
    }

    private HandoffEffects Apply(HandoffEvent happened, HandoffException? failure)
    {
        HandoffEffects effects;
        lock (_gate)
        {
            HandoffState next = _state.After(happened);
            effects = _state.EffectsOf(next);
            _state = next;
        }

        if (effects.HasFlag(HandoffEffects.Fail))
        {
            failure ??= new HandoffException(HandoffFailure.Aborted, $"Handoff {Id} ended.");
            EndAccount(failure);
            if (_granted.TrySetException(failure)) _ = _granted.Task.Exception;
            if (_verdict.TrySetException(failure)) _ = _verdict.Task.Exception;
        }

        if (effects.HasFlag(HandoffEffects.Release)) ReleaseBlocks();
        if (effects.HasFlag(HandoffEffects.CloseBlocks)) Use.Close();
        return effects;
    }

    private string? WindowOf(Grant grant, SenderLink link, out KvSequence? window)
    {
        window = null;
        if (grant.Slots.IsDefaultOrEmpty) return null;
        if (link.Window is not { } cache || Shape.Placed is null) return "The grant names slots; this side has no window to them.";
        return KvSequence.TryBorrow(cache, grant.Slots, TotalTokens, out window);
    }

    private string? Misfit(Grant grant)
    {
        bool fits = grant.SlotGenerations.Length == Shape.Groups.Length;
        for (int g = 0; fits && g < Shape.Groups.Length; g++) fits = grant.SlotGenerations[g].Length == Shape.GranulesOf(g).Count;
        if (!fits)
        {
            return $"The grant has {string.Join('/', grant.SlotGenerations.Select(g => g.Length))} slot generations; "
                + $"{string.Join('/', Enumerable.Range(0, Shape.Groups.Length).Select(g => Shape.GranulesOf(g).Count))} were expected.";
        }

        return grant.ReusedTokens > Math.Min(TotalTokens, Offer.PrefixHashes.Length / WireConstants.PrefixHashBytes * KvSegment.GranuleTokens)
            ? $"The grant reuses {grant.ReusedTokens} tokens; hashes of {Offer.PrefixHashes.Length / WireConstants.PrefixHashBytes * KvSegment.GranuleTokens} were offered."
            : null;
    }
}
