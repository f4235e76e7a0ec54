using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Fuzz;

// One sender and one receiver; the rows are the sender's, or it writes them where they are to lie.
internal sealed partial class LabCase
{
    private async Task HandOverAsync(KvSequence? sequence)
    {
        var offer = new HandoffOffer { TotalTokens = _spec.Tokens, Deadline = Deadline, WaitForRoom = _spec.Fault == LabFault.NoRoom && _spec.LayersBefore > 0 ? TimeSpan.FromSeconds(1) : TimeSpan.Zero };
        Task<OutgoingHandoff> offering = sequence is null ? _senders[0].OfferInPlaceAsync(offer) : _senders[0].OfferAsync(sequence, offer);
        ValueTask<IncomingHandoff> next = FirstAsync(Receiver);
        await DriveAsync(() => offering.IsCompleted);
        if (!offering.IsCompletedSuccessfully)
        {
            _result.Sender = await EndOfAsync(offering);
            IncomingHandoff? nobodys = next.IsCompletedSuccessfully ? next.Result : null;
            if (nobodys is not null)
            {
                await DriveAsync(() => nobodys.Status >= HandoffStatus.Committed);
                _result.Receiver = nobodys.Status;
            }

            return;
        }

        await using OutgoingHandoff outgoing = offering.Result;
        if (!await SettleAsync(() => next.IsCompleted, stalls: false)) throw new InvalidOperationException("A handoff was granted and not announced.");
        IncomingHandoff incoming = next.Result;
        Task<HandoffCost>? committing = await PublishAsync(outgoing, incoming);
        await DriveAsync(() => outgoing.Status >= HandoffStatus.Committed && incoming.Status >= HandoffStatus.Committed && committing is null or { IsCompleted: true });
        _result.Sender = outgoing.Status;
        _result.Receiver = incoming.Status;
        if (committing is not null) await EndOfAsync(committing);
        if (_spec.Fault == LabFault.ReceiverRestart && _spec.Resume > TimeSpan.Zero && outgoing.Status == HandoffStatus.Committed)
        {
            // The new life granted the offer afresh.
            ValueTask<IncomingHandoff> again = FirstAsync(Receiver);
            if (!await SettleAsync(() => again.IsCompleted, stalls: false)) throw new InvalidOperationException("The sender is committed; the receiver's new life knows of no handoff.");
            incoming = again.Result;
            _result.Receiver = incoming.Status;
        }

        await CompareAsync(sequence, incoming);
        await EndsAsync(outgoing.DisposeAsync().AsTask());
    }

    private async Task<Task<HandoffCost>?> PublishAsync(OutgoingHandoff outgoing, IncomingHandoff incoming)
    {
        bool stalled = false;
        for (int layer = 0; layer < _spec.Source.LayerCount; layer++)
        {
            if (layer == _spec.LayersBefore && await InterruptAsync(outgoing, incoming)) return null;
            if (_spec.Kind == CaseKind.InPlace)
            {
                (float[] keys, float[] values) = RowOracle.Rows(_spec.Target, layer, _spec.Tokens, _spec.Seed);
                outgoing.WriteRows(layer, 0, keys, values);
            }

            outgoing.Publish(layer, _spec.Tokens);
            Task landed = incoming.LayerAsync(layer);
            // What stands still once does so for the layers behind it.
            int rounds = stalled ? TickRounds : _spec.MayStall || _spec.IsNetworkFault ? StallRounds : PatientRounds;
            stalled |= !await SettleAsync(() => landed.IsCompleted || outgoing.Status >= HandoffStatus.Committed, rounds);
            _ = landed.Exception;
        }

        if (_spec.LayersBefore == _spec.Source.LayerCount && await InterruptAsync(outgoing, incoming)) return null;
        if (_spec.Fault == LabFault.NeverCommits) return null;
        return outgoing.CommitAsync(RowOracle.Manifest(_spec.Tokens, _spec.Seed));
    }

    /// <summary>What a host does that it should not; true when the sender does nothing more after it.</summary>
    private async Task<bool> InterruptAsync(OutgoingHandoff outgoing, IncomingHandoff incoming)
    {
        switch (_spec.Fault)
        {
            case LabFault.CancelSender:
                await EndsAsync(outgoing.DisposeAsync().AsTask());
                return true;
            case LabFault.CancelReceiver:
                await EndsAsync(incoming.DisposeAsync().AsTask());
                return false;
            case LabFault.DisposeSender:
                await EndsAsync(_senders[0].DisposeAsync().AsTask());
                return true;
            case LabFault.ReceiverRestart:
                string endpoint = Receiver.Endpoint;
                await EndsAsync(Receiver.DisposeAsync().AsTask());
                if (Target.UsedBlocks != 0) Break($"a disposed receiver left {Target.UsedBlocks} blocks");
                _receivers[0] = await KvReceiver.ListenAsync(endpoint, Target, ReceiverOptions);
                await SettleAsync();
                return false;
            default:
                return false;
        }
    }

    private async Task CompareAsync(KvSequence? sequence, IncomingHandoff incoming)
    {
        if (_result.Sender == HandoffStatus.Committed && _result.Receiver != HandoffStatus.Committed) Break($"the sender is Committed, the receiver {_result.Receiver}");
        if (_result.Receiver != HandoffStatus.Committed) return;
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Patience);
        if (Difference(sequence, landed) is { } difference) Corrupt(difference);
        if (!incoming.Manifest.Equals(RowOracle.Manifest(_spec.Tokens, _spec.Seed))) Corrupt("the manifest differs");
    }

    private string? Difference(KvSequence? sequence, KvSequence landed)
    {
        if (sequence is not null) return RowOracle.Difference(_spec.Plan, _spec.Codec, sequence, landed);
        using PagedKvCache cache = PagedKvCache.Allocate(_spec.Target, _spec.Tokens);
        using KvSequence expected = RowOracle.Fill(cache, _spec.Tokens, _spec.Seed);
        return RowOracle.Difference(expected, landed, KvShard.Whole(_spec.Target, _spec.Tokens));
    }

    /// <summary>How what has completed ended, as the status that the handoff had.</summary>
    private async Task<HandoffStatus> EndOfAsync(Task task)
    {
        try
        {
            await task.WaitAsync(TimeSpan.FromSeconds(5));
            return HandoffStatus.Committed;
        }
        catch (HandoffException e)
        {
            if (e.Failure == HandoffFailure.Corrupt && _result.Sender == HandoffStatus.Committed) Corrupt(e.Message);
            return e.Failure switch { HandoffFailure.Rejected => HandoffStatus.Rejected, HandoffFailure.Expired => HandoffStatus.Expired, _ => HandoffStatus.Aborted };
        }
        catch (TimeoutException)
        {
            NotTerminal("a call did not complete");
            return HandoffStatus.Aborted;
        }
    }
}
