using KvHandoff.Codec;
using KvHandoff.Core.Tests.Layout;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Senders that write into the receiver's blocks by themselves, over shared memory.</summary>
public sealed class WindowTests
{
    private const int Tokens = 300;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(64, DimensionOrder.HeadMajor, 64, DimensionOrder.HeadMajor)]
    [InlineData(16, DimensionOrder.TokenMajor, 64, DimensionOrder.HeadMajor)]
    [InlineData(64, DimensionOrder.HeadMajor, 16, DimensionOrder.TokenMajor)]
    [InlineData(128, DimensionOrder.PackedKey, 32, DimensionOrder.PlaneHeadMajor)]
    [InlineData(96, DimensionOrder.PlaneHeadMajor, 64, DimensionOrder.TokenMajor)]
    public async Task Rows_are_written_where_they_are_to_lie(int fromBlock, DimensionOrder fromOrder, int toBlock, DimensionOrder toOrder)
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(blockTokens: fromBlock, order: fromOrder), SessionFixture.Layout(blockTokens: toBlock, order: toOrder));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 1);
        (KvSequence landed, HandoffCost cost) = await pair.HandOverAsync(sequence);
        using (landed)
        {
            Assert.Equal(Tokens, landed.Tokens);
            for (int layer = 0; layer < 3; layer++) AssertSameElements(sequence.View(layer), landed.View(layer));
        }

        // Headers and checksums only came over the ring; the rows were written once.
        Assert.InRange(pair.Receiver.DataBytesReceived, 1, cost.KvBytes / 8);
        Assert.Equal(cost.KvBytes, cost.BytesCopied);
        Assert.Equal(0, pair.Target.UsedBlocks);
        Assert.Equal(0, pair.Receiver.QuarantinedHandoffs);
    }

    [Theory]
    [InlineData("bf16", "int8")]
    [InlineData("int8", "int8")]
    [InlineData("bf16", "fp8-tensor")]
    [InlineData("int8", "bf16")]
    public async Task Caches_with_scales_land_as_they_do_over_tcp(string from, string to)
    {
        if (!OperatingSystem.IsLinux()) return;
        KvCacheLayout source = Three(PackedCase.Group(from, 64)), target = Three(PackedCase.Group(to, 64));
        await using Pair pair = await Pair.StartAsync(source, target);
        await using SessionFixture tcp = await SessionFixture.StartAsync(source, target);
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 2), same = SessionFixture.Fill(tcp.Source, Tokens, seed: 2);
        (KvSequence here, _) = await pair.HandOverAsync(sequence);
        (KvSequence there, _, _) = await tcp.HandOverAsync(same);
        SessionFixture.AssertSameRows(there, here);
        for (int block = 0; block < here.View(1).BlockCount; block++)
            Assert.True(there.View(1).Scales(block, 1, KvPlane.Value).SequenceEqual(here.View(1).Scales(block, 1, KvPlane.Value)));
        here.Dispose();
        there.Dispose();

        static KvCacheLayout Three(LayerGroup group) => new(SessionFixture.Model, [group with { Layers = [0, 1, 2] }]);
    }

    [Theory]
    [InlineData(64, DimensionOrder.HeadMajor, false)]
    [InlineData(16, DimensionOrder.TokenMajor, false)]
    [InlineData(64, DimensionOrder.HeadMajor, true)]
    [InlineData(16, DimensionOrder.TokenMajor, true)]
    public async Task Prefill_writes_straight_into_the_granted_blocks(int block, DimensionOrder order, bool trusting)
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(), SessionFixture.Layout(blockTokens: block, order: order), options: new KvReceiverOptions { SameHostTrust = trusting });
        using KvSequence reference = SessionFixture.Fill(pair.Source, Tokens, seed: 8);
        await using OutgoingHandoff outgoing = await pair.Sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
        IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
        for (int layer = 0; layer < 3; layer++)
        {
            Assert.True(outgoing.Write(layer, target =>
            {
                for (int head = 0; head < 2; head++)
                    for (int plane = 0; plane < 2; plane++)
                        for (int token = 0; token < Tokens; token++)
                            reference.View(layer).Row(head, (KvPlane)plane, token).CopyTo(target.Row(head, (KvPlane)plane, token));
            }));
            outgoing.Publish(layer, Tokens);
        }

        HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
        SessionFixture.AssertSameRows(reference, landed);
        Assert.Equal(0, cost.BytesCopied);
        // A receiver that trusts says so, and then no side reads a row.
        Assert.Equal(trusting, outgoing.IsTrusted);
        Assert.Equal(pair.Target.Layout.BytesForTokens(Tokens), cost.KvBytes);
        Assert.False(outgoing.WriteRows(0, 0, new float[64], new float[64]));
    }

    [Fact]
    public async Task Without_a_window_nothing_is_offered_in_place()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        HandoffException refused = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = Tokens }));
        Assert.Contains("not mapped here", refused.Message);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 9);
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        Assert.Throws<InvalidOperationException>(() => outgoing.WriteRows(0, 0, default, default));
    }

    [Fact]
    public async Task A_codec_takes_the_stream()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(), SessionFixture.Layout(), CodecId.ExponentWindow);
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 3);
        (KvSequence landed, HandoffCost cost) = await pair.HandOverAsync(sequence);
        SessionFixture.AssertSameRows(sequence, landed);
        landed.Dispose();
        Assert.InRange(pair.Receiver.DataBytesReceived, cost.KvBytes / 3, cost.KvBytes * 2);
    }

    [Fact]
    public async Task Blocks_of_an_aborted_handoff_are_quarantined_until_the_sender_lets_go()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(), SessionFixture.Layout());
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 4);
        OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
        // A thread of the sender is inside the window: as long as it is, nobody may have the blocks.
        Assert.True(outgoing.Use.TryEnter());
        ValueTask givingUp = incoming.DisposeAsync();
        await SessionFixture.EventuallyAsync(() => outgoing.Status == HandoffStatus.Aborted, "the sender has heard of the abort");
        await Task.Delay(100);
        Assert.Equal(1, pair.Receiver.QuarantinedHandoffs);
        Assert.NotEqual(0, pair.Target.UsedBlocks);
        Assert.False(givingUp.IsCompleted);
        outgoing.Use.Exit();
        await givingUp.AsTask().WaitAsync(Limit);
        Assert.Equal(0, pair.Receiver.QuarantinedHandoffs);
        Assert.Equal(0, pair.Target.UsedBlocks);
        await outgoing.DisposeAsync();
    }

    [Fact]
    public async Task They_are_free_too_when_the_sender_has_unmapped_them()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(), SessionFixture.Layout());
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 5);
        OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
        outgoing.Publish(0, Tokens);
        await pair.Sender.DisposeAsync();
        await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync().WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => pair.Target.UsedBlocks == 0, "all blocks are free");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_was_not_written_as_announced_is_not_published_unless_the_host_is_trusted(bool trusting)
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(SessionFixture.Layout(), SessionFixture.Layout(), options: new KvReceiverOptions { SameHostTrust = trusting });
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 6);
        int corrupt = 0;
        for (int round = 0; round < (trusting ? 3 : 100) && corrupt == 0; round++)
        {
            await using OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
            IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
            // A writer that is out of step: it changes a row at any time, also between the sender's checksum and the receiver's.
            Assert.True(outgoing.Use.TryEnter());
            KvSequence window = outgoing.Window!;
            using var stop = new CancellationTokenSource();
            Task scribbling = Task.Factory.StartNew(() =>
            {
                var random = new Random(7);
                while (!stop.IsCancellationRequested) random.NextBytes(window.View(1, Tokens).Row(0, KvPlane.Value, 5));
            }, TaskCreationOptions.LongRunning);
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
            Task<HandoffCost> committing = outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
            Task<KvSequence> committed = incoming.CommittedAsync();
            await Task.WhenAny(committed, Task.Delay(Limit));
            await stop.CancelAsync();
            await scribbling;
            outgoing.Use.Exit();
            if (committed.IsCompletedSuccessfully)
            {
                (await committed).Dispose();
                await committing.WaitAsync(Limit);
                continue;
            }

            Assert.Equal(HandoffFailure.Corrupt, (await Assert.ThrowsAsync<HandoffException>(() => committing.WaitAsync(Limit))).Failure);
            corrupt++;
        }

        Assert.Equal(trusting ? 0 : 1, corrupt);
    }

    private static void AssertSameElements(KvLayerView a, KvLayerView b)
    {
        var left = new byte[64 * a.Group.RowBytes];
        var right = new byte[left.Length];
        for (int head = 0; head < a.Geometry.KvHeads; head++)
        {
            for (int plane = 0; plane < a.Geometry.Planes; plane++)
            {
                for (int first = 0; first < a.Tokens; first += 64)
                {
                    int tokens = Math.Min(64, a.Tokens - first);
                    SegmentRows.Gather(a, head, (KvPlane)plane, first, tokens, left);
                    SegmentRows.Gather(b, head, (KvPlane)plane, first, tokens, right);
                    Assert.True(left.AsSpan(0, tokens * a.Group.RowBytes).SequenceEqual(right.AsSpan(0, tokens * a.Group.RowBytes)), $"head {head}, {(KvPlane)plane}, from token {first}");
                }
            }
        }
    }

    private sealed class Pair : IAsyncDisposable
    {
        internal required PagedKvCache Source { get; init; }

        internal required PagedKvCache Target { get; init; }

        internal required KvReceiver Receiver { get; init; }

        internal required KvSender Sender { get; init; }

        internal static async Task<Pair> StartAsync(KvCacheLayout source, KvCacheLayout target, CodecId codec = CodecId.Raw, KvReceiverOptions? options = null)
        {
            PagedKvCache from = PagedKvCache.Allocate(source, 1024);
            SharedSlab slab = SharedSlab.Create("kvhandoff-test", PagedKvCache.RequiredBytes(target, 1024));
            PagedKvCache to = PagedKvCache.Over(target, slab, 1024, owned: true);
            foreach (KvBlockPool pool in to.Pools) pool.Fill(0xA5);
            KvReceiver receiver = await KvReceiver.ListenAsync($"shm://@kvhandoff-{Guid.NewGuid():n}", to, options);
            KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Codec = codec, Streams = 2 });
            return new Pair { Source = from, Target = to, Receiver = receiver, Sender = sender };
        }

        internal async Task<(KvSequence Landed, HandoffCost Cost)> HandOverAsync(KvSequence sequence)
        {
            await using OutgoingHandoff outgoing = await Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = sequence.Tokens }).WaitAsync(Limit);
            IncomingHandoff incoming = await Receiver.IncomingAsync().FirstAsync();
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, sequence.Tokens);
            HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(sequence.Tokens)).WaitAsync(Limit);
            return (await incoming.CommittedAsync().WaitAsync(Limit), cost);
        }

        public async ValueTask DisposeAsync()
        {
            await Sender.DisposeAsync();
            await Receiver.DisposeAsync();
            Source.Dispose();
            Target.Dispose();
        }
    }
}
