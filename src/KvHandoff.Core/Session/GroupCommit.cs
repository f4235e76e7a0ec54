using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Groups of receivers that take one sequence together: at the one that commits for the group, who is prepared and who waits to hear; at the
/// others, the way to it.
/// </summary>
internal sealed class GroupCommit : IAsyncDisposable
{
    // Members may be prepared before this receiver has heard of the group; so many such groups are remembered.
    private const int MostTallies = 4096;

    // Canary states that members have reported, of all groups that are not decided yet.
    private const long MostStateBytes = 64L << 20;

    private readonly Lock _gate = new();
    private readonly KvReceiver _receiver;
    private readonly Dictionary<Guid, GroupCommitTally> _tallies = [];
    private readonly GroupMemberLink? _coordinator;

    internal GroupCommit(KvReceiver receiver, CachePart part, KvReceiverOptions options)
    {
        _receiver = receiver;
        if (options.GroupCoordinator is not null) _coordinator = new GroupMemberLink(options.GroupCoordinator, part, options, Decide);
    }

    /// <summary>A handoff of this receiver is complete.</summary>
    internal void Prepared(IncomingHandoff handoff)
    {
        if (handoff.IsDecidedElsewhere)
        {
            var prepared = new Prepared(handoff.Id, handoff.Group!.Target, true, "");
            _coordinator!.Report(handoff.CanaryMessages.IsEmpty ? [prepared] : [.. handoff.CanaryMessages.Select(s => prepared with { CanaryStates = s })]);
            return;
        }

        lock (_gate) TallyOf(handoff.Id)?.Add(handoff.Group!.Target, handoff.CanaryPartials);
        CommitIfAll(handoff);
    }

    /// <summary>A handoff of this receiver has ended: the others are told, or the one that decides.</summary>
    internal void Ended(IncomingHandoff handoff, HandoffStatus status, string text)
    {
        if (handoff.IsDecidedElsewhere)
        {
            _coordinator!.Forget(handoff.Id);
            if (status != HandoffStatus.Committed) _coordinator.Report(new Prepared(handoff.Id, handoff.Group!.Target, false, text));
            return;
        }

        GroupCommitTally? tally;
        lock (_gate) _tallies.Remove(handoff.Id, out tally);
        Decision decision = DecisionOf(_receiver.OutcomeOf(handoff.Id));
        if (decision.State == HandoffOutcome.Aborted && tally is not null) decision = decision with { Reason = tally.Reason };
        foreach (ControlChannel member in tally?.Members ?? []) _ = member.SendAsync(decision).AsTask();
    }

    /// <summary>Listens to one other receiver until its connection ends.</summary>
    internal async Task ServeMemberAsync(ControlChannel member, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                ControlReadResult read = await member.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (read.Message is not Prepared prepared)
                {
                    if (read.Error is not null || read.Message is not null)
                    {
                        WireError error = read.Error ?? WireError.Value("Message of a group's member", read.Message!.GetType().Name, nameof(Prepared));
                        _receiver.LastFault = error.Message;
                        await member.SendAsync(new Fault(error.Code, error.Message), cancellationToken).ConfigureAwait(false);
                    }

                    break;
                }

                await HearAsync(prepared, member).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }

        lock (_gate)
        {
            // What was heard of a group that this receiver takes no part in yet goes with the last who told it: it will be told again.
            foreach ((Guid id, GroupCommitTally tally) in _tallies.ToArray())
            {
                if (tally.Members.Remove(member) && tally.Members.Count == 0 && _receiver.FindLanding(id) is null) _tallies.Remove(id);
            }
        }

        await member.DisposeAsync().ConfigureAwait(false);
    }

    public ValueTask DisposeAsync() => _coordinator?.DisposeAsync() ?? ValueTask.CompletedTask;

    private async ValueTask HearAsync(Prepared prepared, ControlChannel member)
    {
        Outcome known = _receiver.OutcomeOf(prepared.HandoffId);
        if (known.State is not (HandoffOutcome.Unknown or HandoffOutcome.InProgress))
        {
            await member.SendAsync(DecisionOf(known)).ConfigureAwait(false);
            return;
        }

        IncomingHandoff? own = _receiver.FindLanding(prepared.HandoffId);
        string? failed = prepared.Complete ? null : prepared.Message;
        lock (_gate)
        {
            GroupCommitTally? tally = TallyOf(prepared.HandoffId);
            if (prepared.Complete) failed = Add(tally, prepared);
            if (prepared.Complete) tally?.Members.Add(member);
            if (failed is not null && own is null) _tallies.Remove(prepared.HandoffId);
        }

        if (failed is null && own is not null) CommitIfAll(own);
        if (failed is null) return;
        // Who has given its word waits for an answer, also of a group that is not known here.
        if (own is null && prepared.Complete) await member.SendAsync(new Decision(prepared.HandoffId, HandoffOutcome.Aborted, failed) { Reason = AbortReason.ProtocolError }).ConfigureAwait(false);
        own?.Fail(HandoffEvent.GroupAborted, AbortReason.Cancelled, $"Receiver {prepared.Target} of the group failed: {failed}");
    }

    // Called with the gate held.
    private string? Add(GroupCommitTally? tally, Prepared prepared)
    {
        long held = _tallies.Values.Sum(t => t.StateBytes);
        return prepared.CanaryStates.Length + held > MostStateBytes
            ? $"Its canary states take {prepared.CanaryStates.Length} bytes; of all groups {held} are held, at most {MostStateBytes} may be."
            : tally?.Add(prepared);
    }

    private void CommitIfAll(IncomingHandoff handoff)
    {
        GroupCommitTally? tally;
        CanaryShare[] shares;
        lock (_gate)
        {
            if (!_tallies.TryGetValue(handoff.Id, out tally) || !Enumerable.Range(0, handoff.Group!.Targets.Length).All(tally.IsPrepared)) return;
            shares = [.. tally.Shares(handoff.Group.Targets)];
        }

        // Two threads may come here at once: both find the same, and the handoff ends once.
        if (shares.Length > 0 && CanaryJoin.FirstDeviation(shares) is { } deviation)
        {
            tally.Reason = AbortReason.Corrupt;
            handoff.Fail(HandoffEvent.GroupAborted, AbortReason.Corrupt, $"The canary found: {deviation}");
            return;
        }

        handoff.Apply(HandoffEvent.GroupCommitted);
    }

    private void Decide(Decision decision) => _receiver.FindLanding(decision.HandoffId)?.Decide(decision);

    private GroupCommitTally? TallyOf(Guid id)
    {
        if (_tallies.TryGetValue(id, out GroupCommitTally? tally)) return tally;
        if (_tallies.Count >= MostTallies) return null;
        return _tallies[id] = new GroupCommitTally();
    }

    private static Decision DecisionOf(Outcome outcome) => new(outcome.HandoffId, outcome.State switch
    {
        HandoffOutcome.Committed => HandoffOutcome.Committed,
        HandoffOutcome.Expired => HandoffOutcome.Expired,
        _ => HandoffOutcome.Aborted,
    }, outcome.Message);
}
