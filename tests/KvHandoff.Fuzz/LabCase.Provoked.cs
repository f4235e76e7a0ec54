using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

// Cases that go wrong in one way only if a guard is missing.
internal sealed partial class LabCase
{
    /// <summary>Frames of a lease that died with the receiver's last life come before the ones of its new life.</summary>
    private async Task StaleFramesAsync()
    {
        var id = new Guid(_spec.Seed, 1, 2, [3, 4, 5, 6, 7, 8, 9, 10]);
        string endpoint = Receiver.Endpoint;
        List<HandmadeFrame> stale;
        await using (HandmadeSender first = await HandmadeSender.ConnectAsync(endpoint, _spec.Source))
        {
            Grant grant = await first.OfferAsync(_spec.Source, _spec.Tokens, id);
            stale = first.Frames(_spec.Source, grant, _spec.Tokens, _spec.Seed + 1);
        }

        await EndsAsync(Receiver.DisposeAsync().AsTask());
        _receivers[0] = await KvReceiver.ListenAsync(endpoint, Target, ReceiverOptions);
        await using HandmadeSender sender = await HandmadeSender.ConnectAsync(endpoint, _spec.Source);
        Grant again = await sender.OfferAsync(_spec.Source, _spec.Tokens, id);
        List<HandmadeFrame> frames = sender.Frames(_spec.Source, again, _spec.Tokens, _spec.Seed);
        IncomingHandoff incoming = await FirstAsync(Receiver);
        await Task.Run(() =>
        {
            foreach (HandmadeFrame frame in stale) sender.Send(frame);
            foreach (HandmadeFrame frame in frames) sender.Send(frame);
        });
        await sender.TellAsync(new Finish(id, again.LeaseId, RowOracle.Manifest(_spec.Tokens, _spec.Seed)));
        await DriveAsync(() => incoming.Status >= HandoffStatus.Committed);
        _result.Receiver = _result.Sender = incoming.Status;
        if (incoming.Status != HandoffStatus.Committed) return;
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Patience);
        foreach (HandmadeFrame frame in frames)
        {
            if (frame.Difference(landed) is { } difference) Corrupt(difference);
        }
    }

    /// <summary>A sender that can write by itself does so after the end of its handoff, while the next one would like to have the blocks.</summary>
    private async Task LateWriterAsync()
    {
        using KvSequence sequence = RowOracle.Fill(Source, _spec.Tokens, _spec.Seed);
        HandmadeSender late = await HandmadeSender.ConnectAsync(Receiver.Endpoint, _spec.Source);
        await using (late)
        {
            Grant grant = await late.OfferAsync(_spec.Source, _spec.Tokens, Guid.NewGuid());
            IncomingHandoff ended = await FirstAsync(Receiver);
            if (CacheWindow.TryRead(late.Welcome.Window.Span, late.Welcome.Layout, late.Regions, out PagedKvCache? window) is { } wrong) throw new InvalidOperationException(wrong);
            if (KvSequence.TryBorrow(window!, grant.Slots, _spec.Tokens, out KvSequence? blocks) is { } misfit) throw new InvalidOperationException(misfit);
            Task ending = ended.DisposeAsync().AsTask();
            _senders.Add(await KvSender.ConnectAsync(Receiver.Endpoint, Source, SenderOptions));
            Task<OutgoingHandoff> offering = _senders[0].OfferAsync(sequence, new HandoffOffer { TotalTokens = _spec.Tokens, Deadline = Deadline, WaitForRoom = Deadline });
            bool early = await SettleAsync(() => offering.IsCompleted, StallRounds);
            if (!early)
            {
                // The guard holds: nobody has the blocks while they may still be written.
                Scribble(blocks!);
                await late.TellAsync(new Released(grant.HandoffId, grant.LeaseId));
                await SettleAsync(() => ending.IsCompleted, PatientRounds);
                _time.Advance(TimeSpan.FromMilliseconds(20));
            }

            await DriveAsync(() => offering.IsCompleted);
            await using OutgoingHandoff outgoing = await offering;
            IncomingHandoff incoming = await FirstAsync(Receiver);
            for (int layer = 0; layer < _spec.Source.LayerCount; layer++) outgoing.Publish(layer, _spec.Tokens);
            Task<HandoffCost> committing = outgoing.CommitAsync(RowOracle.Manifest(_spec.Tokens, _spec.Seed));
            await DriveAsync(() => committing.IsCompleted);
            _result.Sender = await EndOfAsync(committing);
            _result.Receiver = incoming.Status;
            // Granted while the first sender could still write: whoever let that happen has to be found out.
            if (early) Scribble(blocks!);
            await CompareAsync(sequence, incoming);
        }
    }

    private static void Scribble(KvSequence blocks)
    {
        for (int layer = 0; layer < blocks.Cache.Layout.LayerCount; layer++)
        {
            KvLayerView view = blocks.View(layer, blocks.Capacity);
            for (int block = 0; block < view.BlockCount; block++) view.Block(block).Fill(0xEE);
        }
    }
}
