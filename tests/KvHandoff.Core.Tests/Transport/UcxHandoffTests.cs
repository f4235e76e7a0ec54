using KvHandoff.Core.Tests.Session;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Whole handoffs over UCX: as messages, and written into the receiver's blocks where that is asked for.</summary>
public sealed class UcxHandoffTests
{
    private const int Tokens = 1000;

    [UcxTheory]
    [InlineData(UcxRows.Tcp, null, 64)]
    [InlineData(UcxRows.Tcp, true, 64)]
    [InlineData(UcxRows.Tcp, true, 16)]
    [InlineData(UcxRows.SharedMemory, null, 64)]
    [InlineData(UcxRows.SharedMemory, true, 64)]
    public async Task A_sequence_lands_as_it_was(string transports, bool? oneSided, int targetBlockTokens)
    {
        KvCacheLayout layout = SessionFixture.Layout(layers: 5), target = SessionFixture.Layout(layers: 5, blockTokens: targetBlockTokens);
        TransportOptions options = UcxRows.Over(transports) with { UcxOneSided = oneSided };
        using PagedKvCache from = PagedKvCache.Allocate(layout, 2048), to = PagedKvCache.Allocate(target, 2048);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("ucx://127.0.0.1:0", to, new KvReceiverOptions { Transport = options });
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Streams = 2, Transport = options });
        for (int round = 0; round < 3; round++)
        {
            using KvSequence sent = SessionFixture.Fill(from, Tokens, seed: round);
            Task<IncomingHandoff> accepting = NextAsync(receiver);
            await using OutgoingHandoff outgoing = await sender.OfferAsync(sent, new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Blocking.Limit);
            IncomingHandoff incoming = await accepting.WaitAsync(Blocking.Limit);
            for (int layer = 0; layer < layout.LayerCount; layer++) outgoing.Publish(layer, Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Blocking.Limit);
            using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Blocking.Limit);
            SessionFixture.AssertSameRows(sent, landed);
            // What is written from afar passes no stream of the receiver.
            Assert.Equal(oneSided == true, receiver.DataBytesReceived < (round + 1) * incoming.Cost.KvBytes / 2);
        }

        Assert.Equal(oneSided == true ? PayloadPath.RemoteMemory : PayloadPath.Other, sender.DescribePath().Payload);
        Assert.Contains("tcp/", sender.DescribePath().Why);
        if (oneSided != true) return;
        await Assert.ThrowsAsync<HandoffException>(() => sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = Tokens }));
    }

    [UcxFact]
    public async Task Blocks_of_an_ended_handoff_are_quarantined_until_the_sender_is_gone()
    {
        KvCacheLayout layout = SessionFixture.Layout();
        TransportOptions options = UcxRows.Over(UcxRows.Tcp) with { UcxOneSided = true };
        using PagedKvCache from = PagedKvCache.Allocate(layout, 1024), to = PagedKvCache.Allocate(layout, 1024);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("ucx://127.0.0.1:0", to, new KvReceiverOptions { Transport = options, Lease = TimeSpan.FromSeconds(30) });
        int held;
        await using (KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Transport = options }))
        {
            using KvSequence sent = SessionFixture.Fill(from, 256, seed: 1);
            OutgoingHandoff outgoing = await sender.OfferAsync(sent, new HandoffOffer { TotalTokens = 256 });
            IncomingHandoff incoming = await NextAsync(receiver);
            outgoing.Publish(0, 256);
            await incoming.LayerAsync(0).WaitAsync(Blocking.Limit);
            // The sender's process is still there, inside the blocks as far as this side knows, when the receiver gives up.
            Assert.True(outgoing.Use.TryEnter());
            _ = incoming.DisposeAsync().AsTask();
            await SessionFixture.EventuallyAsync(() => receiver.QuarantinedHandoffs == 1, "the handoff is in quarantine");
            await Task.Delay(200);
            held = to.UsedBlocks;
            Assert.True(held > 0);
            Assert.Equal(1, receiver.QuarantinedHandoffs);
            outgoing.Use.Exit();
            await outgoing.DisposeAsync();
        }

        await SessionFixture.EventuallyAsync(() => receiver.QuarantinedHandoffs == 0 && to.UsedBlocks == 0, $"the {held} blocks are free");
    }

    private static async Task<IncomingHandoff> NextAsync(KvReceiver receiver)
    {
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync()) return incoming;
        throw new InvalidOperationException("The receiver ended without a handoff.");
    }
}
