using System.Collections.Concurrent;
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

    private readonly Lock _gate = new();
    private readonly KvReceiver _receiver;
    private readonly Dictionary<Guid, Tally> _tallies = [];
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
            _coordinator!.Report(new Prepared(handoff.Id, handoff.Group!.Target, true, ""));
            return;
        }

        lock (_gate) TallyOf(handoff.Id)?.Prepared.Add(handoff.Group!.Target);
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

        Tally? tally;
        lock (_gate) _tallies.Remove(handoff.Id, out tally);
        Decision decision = DecisionOf(_receiver.OutcomeOf(handoff.Id));
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
            foreach (Tally tally in _tallies.Values) tally.Members.Remove(member);
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
        lock (_gate)
        {
            Tally? tally = TallyOf(prepared.HandoffId);
            if (prepared.Complete) tally?.Prepared.Add(prepared.Target);
            if (prepared.Complete) tally?.Members.Add(member);
            else if (own is null) _tallies.Remove(prepared.HandoffId);
        }

        if (own is null) return;
        if (prepared.Complete) CommitIfAll(own);
        else own.Fail(HandoffEvent.GroupAborted, AbortReason.Cancelled, $"Receiver {prepared.Target} of the group failed: {prepared.Message}");
    }

    private void CommitIfAll(IncomingHandoff handoff)
    {
        bool all;
        lock (_gate) all = _tallies.TryGetValue(handoff.Id, out Tally? tally) && Enumerable.Range(0, handoff.Group!.Targets.Length).All(tally.Prepared.Contains);
        if (all) handoff.Apply(HandoffEvent.GroupCommitted);
    }

    private void Decide(Decision decision) => _receiver.FindLanding(decision.HandoffId)?.Decide(decision);

    private Tally? TallyOf(Guid id)
    {
        if (_tallies.TryGetValue(id, out Tally? tally)) return tally;
        if (_tallies.Count >= MostTallies) return null;
        return _tallies[id] = new Tally();
    }

    private static Decision DecisionOf(Outcome outcome) => new(outcome.HandoffId, outcome.State switch
    {
        HandoffOutcome.Committed => HandoffOutcome.Committed,
        HandoffOutcome.Expired => HandoffOutcome.Expired,
        _ => HandoffOutcome.Aborted,
    }, outcome.Message);

    private sealed class Tally
    {
        internal HashSet<int> Prepared { get; } = [];

        internal HashSet<ControlChannel> Members { get; } = [];
    }
}
