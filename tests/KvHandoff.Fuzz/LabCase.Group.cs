using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

// Several senders and receivers of parts: all receivers publish or none does.
internal sealed partial class LabCase
{
    private sealed record Pair(int Source, int Target, KvSender Sender)
    {
        internal OutgoingHandoff? Outgoing { get; set; }

        internal Task? Ending { get; set; }
    }

    private async Task RunGroupAsync()
    {
        for (int t = 0; t < _spec.Targets.Length; t++)
        {
            var part = new CachePart(_spec.Target, _spec.Targets[t]);
            _targets.Add(PagedKvCache.Allocate(part.Layout, _spec.Targets[t].Tokens.Count));
            KvReceiverOptions options = ReceiverOptions with { Part = part, GroupCoordinator = t == 0 ? null : Receiver.Endpoint };
            if (t != _spec.Who % _spec.Targets.Length) options = options with { Admission = null };
            _receivers.Add(await KvReceiver.ListenAsync(EndpointOf(t), _targets[t], options));
        }

        using PagedKvCache cache = PagedKvCache.Allocate(_spec.Source, _spec.Tokens);
        using KvSequence whole = RowOracle.Fill(cache, _spec.Tokens, _spec.Seed);
        var parts = new List<KvSequence>();
        var pairs = new List<Pair>();
        try
        {
            await ConnectGroupAsync(whole, parts, pairs);
            await HandOverGroupAsync(whole, parts, pairs);
        }
        finally
        {
            foreach (Pair pair in pairs) if (pair.Outgoing is not null) await EndsAsync(pair.Outgoing.DisposeAsync().AsTask());
            foreach (KvSequence part in parts) part.Dispose();
        }
    }

    private async Task ConnectGroupAsync(KvSequence whole, List<KvSequence> parts, List<Pair> pairs)
    {
        if (!ShardPlan.TryCreate(_spec.Source, _spec.Tokens, _spec.Sources.AsSpan(), _spec.Targets.AsSpan(), out ShardPlan? plan, out string? reason)) throw new InvalidOperationException(reason);
        for (int s = 0; s < _spec.Sources.Length; s++)
        {
            var part = new CachePart(_spec.Source, _spec.Sources[s]);
            _sources.Add(PagedKvCache.Allocate(part.Layout, _spec.Sources[s].Tokens.Count));
            parts.Add(RowOracle.Cut(whole, _sources[s], _spec.Sources[s]));
            foreach (ShardPair pair in plan!.Pairs.Where(p => p.Source == s))
            {
                _senders.Add(await KvSender.ConnectAsync(_receivers[pair.Target].Endpoint, _sources[s], SenderOptions with { Part = part }));
                pairs.Add(new Pair(s, pair.Target, _senders[^1]));
                await SettleAsync();
            }
        }
    }

    private async Task HandOverGroupAsync(KvSequence whole, List<KvSequence> parts, List<Pair> pairs)
    {
        var id = new Guid(_spec.Seed, 7, 7, [1, 2, 3, 4, 5, 6, 7, 8]);
        ValueTask<IncomingHandoff>[] announced = [.. _receivers.Select(FirstAsync)];
        foreach (Pair pair in pairs)
        {
            var offer = new HandoffOffer { HandoffId = id, TotalTokens = _spec.Tokens, Deadline = Deadline, Group = new HandoffGroup(_spec.Sources, _spec.Targets, pair.Source, pair.Target, Coordinator: 0) };
            Task<OutgoingHandoff> offering = pair.Sender.OfferAsync(parts[pair.Source], offer);
            await DriveAsync(() => offering.IsCompleted);
            if (offering.IsCompletedSuccessfully) pair.Outgoing = offering.Result;
            else pair.Ending = offering;
        }

        await SettleAsync();
        IncomingHandoff?[] incoming = [.. announced.Select(a => a.IsCompletedSuccessfully ? a.Result : null)];
        CanarySet? canary = _spec.HasCanary ? AttentionCanary.CreateSeeded(whole, _spec.Tokens, id, AttentionCanary.Sample(_spec.Source, 6).AsSpan()) : null;
        foreach (Pair pair in pairs.Where(p => p.Outgoing is not null))
        {
            for (int layer = 0; layer < _spec.Source.LayerCount; layer++) pair.Outgoing!.Publish(layer, parts[pair.Source].Tokens);
            await SettleAsync();
        }

        Pair marked = pairs[_spec.Who % pairs.Count];
        bool before = _spec.LayersBefore < _spec.Source.LayerCount;
        if (before) await InterruptGroupAsync(marked, incoming);
        foreach (Pair pair in pairs.Where(p => p.Outgoing is not null))
        {
            if (ReferenceEquals(pair, marked) && (_spec.Fault == LabFault.NeverCommits || (before && _spec.Fault is LabFault.CancelSender or LabFault.DisposeSender))) continue;
            pair.Ending = pair.Outgoing!.CommitAsync(RowOracle.Manifest(_spec.Tokens, _spec.Seed), canary);
            await SettleAsync();
        }

        // Those that are prepared wait for the others.
        if (!before) await InterruptGroupAsync(marked, incoming);
        await DriveAsync(() => incoming.All(i => i is null || i.Status >= HandoffStatus.Committed) && pairs.All(p => p.Outgoing is null || (p.Outgoing.Status >= HandoffStatus.Committed && p.Ending is null or { IsCompleted: true })));
        await JudgeGroupAsync(whole, pairs, incoming);
    }

    private async Task InterruptGroupAsync(Pair marked, IncomingHandoff?[] incoming)
    {
        switch (_spec.Fault)
        {
            case LabFault.CancelSender when marked.Outgoing is not null:
                await EndsAsync(marked.Outgoing.DisposeAsync().AsTask());
                break;
            case LabFault.CancelReceiver when incoming[marked.Target] is { Status: < HandoffStatus.Prepared } handoff:
                await EndsAsync(handoff.DisposeAsync().AsTask());
                break;
            case LabFault.DisposeSender:
                await EndsAsync(marked.Sender.DisposeAsync().AsTask());
                break;
            case LabFault.ReceiverRestart:
                await EndsAsync(_receivers[marked.Target].DisposeAsync().AsTask());
                break;
        }
    }

    private async Task JudgeGroupAsync(KvSequence whole, List<Pair> pairs, IncomingHandoff?[] incoming)
    {
        HandoffStatus[] ends = [.. incoming.Select(i => i?.Status ?? HandoffStatus.Rejected)];
        foreach (Pair pair in pairs)
        {
            HandoffStatus sender = pair.Outgoing?.Status ?? (pair.Ending is null ? HandoffStatus.Aborted : await EndOfAsync(pair.Ending));
            _result.Members.Add(sender);
            if (sender == HandoffStatus.Committed && ends[pair.Target] != HandoffStatus.Committed) Break($"sender {pair.Source} is Committed, receiver {pair.Target} {ends[pair.Target]}");
            if (pair.Outgoing is not null && pair.Ending is not null) await EndOfAsync(pair.Ending);
        }

        _result.Sender = Worst(_result.Members);
        _result.Members.AddRange(ends);
        _result.Receiver = Worst(ends);
        // A member that the decision did not reach in time has expired, as it said it would; nothing else may differ from the coordinator.
        for (int t = 1; t < ends.Length; t++)
        {
            if (ends[t] == HandoffStatus.Committed && ends[0] != HandoffStatus.Committed) Break($"receiver {t} is Committed, the coordinator {ends[0]}");
            if (ends[0] == HandoffStatus.Committed && ends[t] is not (HandoffStatus.Committed or HandoffStatus.Expired)) Break($"the coordinator is Committed, receiver {t} {ends[t]}");
        }

        using PagedKvCache cache = PagedKvCache.Allocate(_spec.Target, _spec.Tokens);
        using KvSequence expected = cache.CreateSequence();
        if (RowOracle.Decode(_spec.Plan, _spec.Codec, whole, expected) is { } wrong) throw new InvalidOperationException(wrong);
        for (int t = 0; t < ends.Length; t++)
        {
            if (ends[t] != HandoffStatus.Committed) continue;
            using KvSequence landed = await incoming[t]!.CommittedAsync().WaitAsync(Patience);
            if (RowOracle.Difference(expected, landed, _spec.Targets[t]) is { } difference) Corrupt($"receiver {t}: {difference}");
            if (!incoming[t]!.Manifest.Equals(RowOracle.Manifest(_spec.Tokens, _spec.Seed))) Corrupt($"receiver {t}: the manifest differs");
        }
    }

    private static HandoffStatus Worst(IEnumerable<HandoffStatus> ends) => ends.Any(e => e == HandoffStatus.Aborted) ? HandoffStatus.Aborted : ends.Max();
}
