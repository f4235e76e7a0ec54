using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Metrics over real handoffs.</summary>
[Collection(TelemetryCollection.Name)]
public sealed class HandoffMetersTests
{
    private const int Tokens = 300;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(CodecId.Raw, "raw")]
    [InlineData(CodecId.Fp8E4M3, "fp8")]
    [InlineData(CodecId.Auto, "auto")]
    [InlineData(CodecId.AutoLossy, "auto-lossy")]
    public async Task A_committed_handoff_is_recorded_once_on_each_side(CodecId codec, string name)
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync(target: SessionFixture.Layout(blockTokens: 16), codec: codec);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        (KvSequence landed, HandoffCost cost, IncomingHandoff incoming) = await f.HandOverAsync(sequence);
        using KvSequence owned = landed;

        foreach (string role in new[] { "sender", "receiver" })
        {
            Recorded end = probe.One(incoming.Id, "kvhandoff.handoffs", role);
            Assert.Equal(1, end.Value);
            Assert.Equal(("committed", "none"), ((string)end.Tags["outcome"]!, (string)end.Tags["reason"]!));
            Recorded wire = probe.One(incoming.Id, "kvhandoff.wire.bytes", role), kv = probe.One(incoming.Id, "kvhandoff.kv.bytes", role);
            Assert.Equal(cost.WireBytes, wire.Value);
            Assert.Equal(cost.KvBytes, kv.Value);
            Assert.Equal((name, "tcp"), ((string)wire.Tags["codec"]!, (string)kv.Tags["transport"]!));
            Assert.True(probe.One(incoming.Id, "kvhandoff.handoff.duration", role).Value > 0);
        }

        Assert.Equal(cost.BytesCopied, Sum("kvhandoff.bytes_copied", _ => true));
        // Each side records its own phases; the sender's cost is both sides' together.
        foreach (HandoffPhase phase in Enum.GetValues<HandoffPhase>())
            Assert.Equal(cost[phase].TotalSeconds, Sum("kvhandoff.phase.duration", r => (string)r.Tags["phase"]! == Words(phase)), 1e-6);
        Assert.Empty(probe.Of(incoming.Id, "kvhandoff.resumes", "sender"));

        double Sum(string instrument, Func<Recorded, bool> of) => probe.Of(incoming.Id, instrument, "sender").Concat(probe.Of(incoming.Id, instrument, "receiver")).Where(of).Sum(r => r.Value);
    }

    [Fact]
    public async Task A_rejection_is_recorded_with_its_reason_and_no_duration()
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync(targetTokens: 128);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 2);
        var offer = new HandoffOffer { TotalTokens = Tokens };
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, offer));
        Assert.Equal((HandoffFailure.Rejected, RejectReason.NoSpace), (e.Failure, e.RejectReason));
        foreach (string role in new[] { "sender", "receiver" })
        {
            Recorded end = probe.One(offer.HandoffId, "kvhandoff.handoffs", role);
            Assert.Equal(("rejected", "no_space"), ((string)end.Tags["outcome"]!, (string)end.Tags["reason"]!));
            Assert.Empty(probe.Of(offer.HandoffId, "kvhandoff.handoff.duration", role));
            Assert.Empty(probe.Of(offer.HandoffId, "kvhandoff.kv.bytes", role));
        }
    }

    [Fact]
    public async Task An_offer_that_waited_in_vain_counts_once_as_rejected()
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync(targetTokens: 128);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 3);
        var offer = new HandoffOffer { TotalTokens = Tokens, WaitForRoom = TimeSpan.FromMilliseconds(300) };
        Task<OutgoingHandoff> offering = f.Sender.OfferAsync(sequence, offer);
        await SessionFixture.EventuallyAsync(() => probe.Observe("kvhandoff.offers.waiting", f.Receiver.Endpoint) is [{ Value: 1 }], "an offer waits");
        await Assert.ThrowsAsync<HandoffException>(() => offering.WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => probe.Of(offer.HandoffId, "kvhandoff.handoffs", "receiver").Length > 0, "the receiver recorded it");
        Assert.Equal("no_space", probe.One(offer.HandoffId, "kvhandoff.handoffs", "receiver").Tags["reason"]);
        Assert.Equal("no_space", probe.One(offer.HandoffId, "kvhandoff.handoffs", "sender").Tags["reason"]);
        Assert.Equal(0, Assert.Single(probe.Observe("kvhandoff.offers.waiting", f.Receiver.Endpoint)).Value);
    }

    [Fact]
    public async Task An_aborted_and_an_expired_handoff_say_so_on_both_sides()
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 4);
        OutgoingHandoff aborted = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        await aborted.DisposeAsync();
        await using OutgoingHandoff expired = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, Deadline = TimeSpan.FromMilliseconds(150) });
        await SessionFixture.EventuallyAsync(() => Ends(aborted.Id) + Ends(expired.Id) == 4, "all four ends are recorded");
        foreach (string role in new[] { "sender", "receiver" })
        {
            Assert.Equal(("aborted", "aborted"), End(aborted.Id, role));
            Assert.Equal(("expired", "expired"), End(expired.Id, role));
            Assert.Single(probe.Of(expired.Id, "kvhandoff.handoff.duration", role));
            Assert.Empty(probe.Of(expired.Id, "kvhandoff.kv.bytes", role));
        }

        int Ends(Guid id) => probe.Of(id, "kvhandoff.handoffs", "sender").Length + probe.Of(id, "kvhandoff.handoffs", "receiver").Length;

        (string, string) End(Guid id, string role) => probe.One(id, "kvhandoff.handoffs", role) is var end ? ((string)end.Tags["outcome"]!, (string)end.Tags["reason"]!) : default;
    }

    [Fact]
    public async Task Open_handoffs_and_fenced_frames_are_observed_while_their_owners_live()
    {
        using var probe = new TelemetryProbe();
        string receiving, sending;
        await using (SessionFixture f = await SessionFixture.StartAsync())
        {
            (receiving, sending) = (f.Receiver.Endpoint, f.Receiver.Endpoint);
            using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 5);
            await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
            Assert.Equal(new[] { ("receiver", 1.0), ("sender", 1.0) }, probe.Observe("kvhandoff.handoffs.open", receiving).Select(r => ((string)r.Tags["role"]!, r.Value)).Order());
            f.Receiver.CountFenced();
            Assert.Equal(1, Assert.Single(probe.Observe("kvhandoff.frames.fenced", receiving)).Value);
            Assert.Equal(0, Assert.Single(probe.Observe("kvhandoff.quarantined", receiving)).Value);
        }

        Assert.Empty(probe.Observe("kvhandoff.handoffs.open", sending));
        Assert.Empty(probe.Observe("kvhandoff.frames.fenced", receiving));
    }

    [Fact]
    public async Task Resumes_and_reused_tokens_are_counted()
    {
        using var probe = new TelemetryProbe();
        KvCacheLayout layout = SessionFixture.Layout();
        using PagedKvCache from = PagedKvCache.Allocate(layout, 1024), to = PagedKvCache.Allocate(layout, 2048);
        using var index = new PrefixIndex(to);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", to, new KvReceiverOptions { PrefixIndex = index });
        using var relay = new BreakableRelay(receiver.Endpoint);
        await using KvSender sender = await KvSender.ConnectAsync(relay.Endpoint, from, new KvSenderOptions { ResumeWithin = Limit });
        using KvSequence sequence = SessionFixture.Fill(from, Tokens, seed: 6);
        PrefixHash[] chain = [.. PrefixHash.Chain(layout.Model, [.. Enumerable.Range(0, Tokens)])];
        byte[] hashes = new byte[chain.Length * PrefixHash.Bytes];
        for (int i = 0; i < chain.Length; i++) chain[i].Write(hashes.AsSpan(i * PrefixHash.Bytes));
        for (int round = 0; round < 2; round++)
        {
            await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, PrefixHashes = hashes });
            await using IncomingHandoff incoming = await FirstAsync(receiver);
            if (round == 1) relay.Cut();
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
            using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
            if (round == 0) index.Add(landed, chain);
            foreach (string role in new[] { "sender", "receiver" })
            {
                Assert.Equal(round == 0 ? [] : [1.0], probe.Of(outgoing.Id, "kvhandoff.resumes", role).Select(r => r.Value));
                Assert.Equal(round == 0 ? [] : [256.0], probe.Of(outgoing.Id, "kvhandoff.tokens.reused", role).Select(r => r.Value));
            }
        }
    }

    [Fact]
    public async Task Nothing_is_allocated_while_nobody_listens()
    {
        Assert.False(HandoffMeters.IsEnabled || HandoffActivity.HasListeners, "Somebody listens.");
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 7);
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        await using IncomingHandoff incoming = await f.NextAsync();
        Offer offer = outgoing.ToMessage(CodecId.Raw);
        var rejection = new Reject(outgoing.Id, RejectReason.Busy, "", 0, 0, 0);
        var failure = new HandoffException(HandoffFailure.Aborted, "");
        // The first round compiles.
        long allocated = Round(1);
        allocated = Round(100);
        Assert.Equal(0, allocated);

        long Round(int times)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < times; i++)
            {
                outgoing.StartAccount();
                outgoing.EndAccount(failure);
                incoming.StartAccount(offer);
                incoming.EndAccount(HandoffStatus.Aborted, failure);
                HandoffAccount.Answered(f.Receiver, offer, rejection);
                HandoffMeters.FirstAttended(TimeSpan.FromSeconds(1));
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    private static async Task<IncomingHandoff> FirstAsync(KvReceiver receiver)
    {
        using var timeout = new CancellationTokenSource(Limit);
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync(timeout.Token)) return incoming;
        throw new InvalidOperationException("The receiver ended without a handoff.");
    }

    private static string Words(HandoffPhase phase) => phase == HandoffPhase.FirstAttend ? "first_attend" : phase.ToString().ToLowerInvariant();
}
