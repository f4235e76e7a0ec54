using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Connections that break in the middle, and receivers that come back.</summary>
public sealed class ResumeTests
{
    private const int Tokens = 1000;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(CodecId.Raw, 1, 100_000)]
    [InlineData(CodecId.Raw, 3, 300_000)]
    [InlineData(CodecId.Fp8E4M3, 2, 50_000)]
    [InlineData(CodecId.ExponentWindow, 1, 200_000)]
    public async Task A_broken_connection_goes_on_where_it_was(CodecId codec, int streams, int cutAfter)
    {
        await using Pair pair = await Pair.StartAsync(codec, streams, TimeSpan.FromSeconds(20));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 5);
        await using OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.NextAsync();
        pair.Relay.CutAfter(cutAfter);
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
        Assert.Equal(1, pair.Relay.Cuts);
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
        if (codec is CodecId.Raw or CodecId.ExponentWindow) SessionFixture.AssertSameRows(sequence, landed);
        // What had landed did not travel again.
        Assert.InRange(pair.Receiver.DataBytesReceived, 1, cost.KvBytes * 2 - cutAfter / 4);
        Assert.Equal(HandoffOutcome.Committed, await pair.Sender.QueryAsync(outgoing.Id));
    }

    [Fact]
    public async Task Connections_may_break_again_and_again()
    {
        await using Pair pair = await Pair.StartAsync(CodecId.Raw, 2, TimeSpan.FromSeconds(20));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 6);
        await using OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.NextAsync();
        var random = new Random(7);
        for (int layer = 0; layer < 3; layer++)
        {
            for (int part = 0; part < 3; part++)
            {
                outgoing.Publish(layer, new IndexRange(part * 400, Math.Min(400, Tokens - part * 400)));
                if (part != 1) continue;
                await Task.Delay(random.Next(30));
                pair.Relay.Cut();
            }
        }

        Task<HandoffCost> committing = outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        await committing.WaitAsync(Limit);
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
        SessionFixture.AssertSameRows(sequence, landed);
        Assert.Equal(3, pair.Relay.Cuts);
    }

    [Fact]
    public async Task A_verdict_that_was_lost_is_asked_for()
    {
        await using Pair pair = await Pair.StartAsync(CodecId.Raw, 1, TimeSpan.FromSeconds(20));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 8);
        await using OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.NextAsync();
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        await incoming.LayerAsync(2).WaitAsync(Limit);
        // The manifest gets through, the answer does not: nothing goes back once the connection is to be cut by its next byte.
        pair.Relay.HoldAnswers();
        Task<HandoffCost> committing = outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
        pair.Relay.Cut();
        await committing.WaitAsync(Limit);
        Assert.Equal(HandoffStatus.Committed, outgoing.Status);
        SessionFixture.AssertSameRows(sequence, landed);
    }

    [Fact]
    public async Task A_sender_that_does_not_come_back_in_time_costs_no_blocks()
    {
        await using Pair pair = await Pair.StartAsync(CodecId.Raw, 1, TimeSpan.FromMilliseconds(400));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 9);
        await using OutgoingHandoff outgoing = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await pair.NextAsync();
        outgoing.Publish(0, Tokens);
        await incoming.LayerAsync(0).WaitAsync(Limit);
        pair.Relay.Refusing = true;
        pair.Relay.Cut();
        HandoffException here = await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync().WaitAsync(Limit));
        Assert.Equal(HandoffFailure.Expired, here.Failure);
        for (int layer = 1; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        HandoffException there = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit));
        Assert.Equal(HandoffFailure.PeerGone, there.Failure);
        await SessionFixture.EventuallyAsync(() => pair.Target.UsedBlocks == 0, "the receiver's blocks are free");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    public async Task A_receiver_that_was_restarted_serves_the_next_handoff(int resumeSeconds)
    {
        await using Pair pair = await Pair.StartAsync(CodecId.Raw, 1, TimeSpan.FromSeconds(resumeSeconds));
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 10);
        OutgoingHandoff first = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, Deadline = TimeSpan.FromSeconds(20) });
        IncomingHandoff lost = await pair.NextAsync();
        first.Publish(0, Tokens);
        await lost.LayerAsync(0).WaitAsync(Limit);
        await pair.RestartReceiverAsync();
        for (int layer = 1; layer < 3; layer++) first.Publish(layer, Tokens);
        if (resumeSeconds == 0)
        {
            await Assert.ThrowsAsync<HandoffException>(() => first.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit));
        }
        else
        {
            // The new life knows nothing of the lease, grants the offer afresh, and all of it travels again.
            await first.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
            using KvSequence again = await (await pair.NextAsync()).CommittedAsync().WaitAsync(Limit);
            SessionFixture.AssertSameRows(sequence, again);
        }

        await first.DisposeAsync();
        await using OutgoingHandoff next = await pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
        IncomingHandoff incoming = await pair.NextAsync();
        for (int layer = 0; layer < 3; layer++) next.Publish(layer, Tokens);
        await next.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
        SessionFixture.AssertSameRows(sequence, landed);
    }

    private sealed class Pair : IAsyncDisposable
    {
        internal required PagedKvCache Source { get; init; }

        internal required PagedKvCache Target { get; init; }

        internal required KvReceiver Receiver { get; set; }

        internal required BreakableRelay Relay { get; init; }

        internal required KvSender Sender { get; init; }

        internal static async Task<Pair> StartAsync(CodecId codec, int streams, TimeSpan resume)
        {
            KvCacheLayout layout = SessionFixture.Layout();
            PagedKvCache from = PagedKvCache.Allocate(layout, 1024), to = PagedKvCache.Allocate(SessionFixture.Layout(blockTokens: 16), 3072);
            KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", to);
            var relay = new BreakableRelay(receiver.Endpoint);
            KvSender sender = await KvSender.ConnectAsync(relay.Endpoint, from, new KvSenderOptions { Codec = codec, Streams = streams, ResumeWithin = resume });
            return new Pair { Source = from, Target = to, Receiver = receiver, Relay = relay, Sender = sender };
        }

        internal async Task<IncomingHandoff> NextAsync()
        {
            using var timeout = new CancellationTokenSource(Limit);
            await foreach (IncomingHandoff incoming in Receiver.IncomingAsync(timeout.Token)) return incoming;
            throw new InvalidOperationException("The receiver ended without a handoff.");
        }

        internal async Task RestartReceiverAsync()
        {
            string endpoint = Receiver.Endpoint;
            Relay.Refusing = true;
            Relay.Cut();
            await Receiver.DisposeAsync();
            Assert.Equal(0, Target.UsedBlocks);
            Receiver = await KvReceiver.ListenAsync(endpoint, Target);
            Relay.Refusing = false;
        }

        public async ValueTask DisposeAsync()
        {
            await Sender.DisposeAsync();
            Relay.Dispose();
            await Receiver.DisposeAsync();
            Source.Dispose();
            Target.Dispose();
        }
    }
}
