using System.Diagnostics;
using System.Diagnostics.Metrics;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Traces over real handoffs.</summary>
[Collection(TelemetryCollection.Name)]
public sealed class HandoffActivityTests
{
    private const int Tokens = 200;

    [Fact]
    public async Task Both_sides_are_one_trace_with_the_account_of_each()
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync(target: SessionFixture.Layout(blockTokens: 16, order: DimensionOrder.TokenMajor));
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        using Activity request = new Activity("request").SetIdFormat(ActivityIdFormat.W3C).Start();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, RequestId = "chat-17" });
        await using IncomingHandoff incoming = await f.NextAsync();
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        using KvSequence landed = await incoming.CommittedAsync();
        Assert.Same(request, Activity.Current);

        Activity send = probe.Activity(outgoing.Id, HandoffActivity.SendName);
        await SessionFixture.EventuallyAsync(() => probe.Activities(outgoing.Id, HandoffActivity.ReceiveName).Length > 0, "the receiver's activity has ended");
        Activity receive = probe.Activity(outgoing.Id, HandoffActivity.ReceiveName);
        Assert.Equal((request.SpanId, request.TraceId, ActivityKind.Client), (send.ParentSpanId, send.TraceId, send.Kind));
        Assert.Equal((send.SpanId, send.TraceId, ActivityKind.Server), (receive.ParentSpanId, receive.TraceId, receive.Kind));
        Assert.True(receive.HasRemoteParent);
        foreach (Activity side in new[] { send, receive })
        {
            Assert.Equal(ActivityStatusCode.Ok, side.Status);
            Assert.Equal(("chat-17", Tokens, "raw", "tcp"), (side.GetTagItem("kvhandoff.request.id"), side.GetTagItem("kvhandoff.tokens"), side.GetTagItem("kvhandoff.codec"), side.GetTagItem("kvhandoff.transport")));
            Assert.Equal((cost.KvBytes, cost.WireBytes, 0), (side.GetTagItem("kvhandoff.kv.bytes"), side.GetTagItem("kvhandoff.wire.bytes"), side.GetTagItem("kvhandoff.tokens.reused")));
            Assert.Equal(("committed", "none", "Permute, Reblock"), (side.GetTagItem("kvhandoff.outcome"), side.GetTagItem("kvhandoff.reason"), side.GetTagItem("kvhandoff.plan.steps")));
        }

        Assert.Contains(send.Events, e => e.Name == "granted");
        Assert.Equal(cost[HandoffPhase.Encode].TotalSeconds, Seconds(send, "phase.encode"), 1e-6);
        Assert.Equal(cost[HandoffPhase.Place].TotalSeconds, Seconds(receive, "phase.place"), 1e-6);
        foreach (string name in new[] { "landed", "manifest", "phase.wire", "phase.verify", "phase.commit", "phase.reserve" }) Assert.Contains(receive.Events, e => e.Name == name);
    }

    [Fact]
    public async Task The_callers_context_travels_when_nobody_listens_and_nothing_travels_without_one()
    {
        Assert.False(HandoffActivity.HasListeners);
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 2);
        await using (OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens }))
            Assert.Equal("", outgoing.ToMessage(CodecId.Raw).TraceParent);

        using Activity request = new Activity("request").SetIdFormat(ActivityIdFormat.W3C).Start();
        await using OutgoingHandoff traced = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        await using IncomingHandoff first = await f.NextAsync();
        await using IncomingHandoff incoming = await f.NextAsync();
        Assert.Equal(traced.Id, incoming.Id);
        Assert.Equal(request.Id, incoming.Parts.Single().Offer.TraceParent);
    }

    [Theory]
    [InlineData("")]
    [InlineData("00-nonsense")]
    [InlineData("00-00000000000000000000000000000000-0000000000000000-01")]
    public async Task A_trace_context_that_cannot_be_read_starts_a_trace_of_its_own(string traceParent)
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 3);
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        using Activity unrelated = new Activity("unrelated").SetIdFormat(ActivityIdFormat.W3C).Start();
        using Activity? receive = HandoffActivity.StartReceiving(outgoing.ToMessage(CodecId.Raw) with { TraceParent = traceParent }, "raw", "tcp");
        Assert.NotNull(receive);
        Assert.Equal(default, receive.ParentSpanId);
        Assert.NotEqual(unrelated.TraceId, receive.TraceId);
        Assert.Same(unrelated, Activity.Current);
    }

    [Fact]
    public async Task A_rejection_is_an_error_on_both_sides_of_one_trace()
    {
        using var probe = new TelemetryProbe();
        await using SessionFixture f = await SessionFixture.StartAsync(receiverOptions: new KvReceiverOptions { Admission = _ => AdmissionVerdict.Refuse("closed") });
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 4);
        var offer = new HandoffOffer { TotalTokens = Tokens };
        await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, offer));
        Activity send = probe.Activity(offer.HandoffId, HandoffActivity.SendName), receive = probe.Activity(offer.HandoffId, HandoffActivity.ReceiveName);
        Assert.Equal((send.SpanId, send.TraceId), (receive.ParentSpanId, receive.TraceId));
        foreach (Activity side in new[] { send, receive })
        {
            Assert.Equal((ActivityStatusCode.Error, "busy"), (side.Status, side.StatusDescription));
            Assert.Equal("rejected", side.GetTagItem("kvhandoff.outcome"));
        }
    }

    [Fact]
    public async Task A_listener_that_throws_costs_no_handoff()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 5);
        int thrown = 0;
        using var meters = new MeterListener { InstrumentPublished = (i, l) => { if (i.Meter.Name == HandoffMeters.MeterName) l.EnableMeasurementEvents(i); } };
        meters.SetMeasurementEventCallback<long>((_, _, _, _) => Throw());
        meters.Start();
        using var activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name == HandoffActivity.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStarted = _ => Throw(),
        };
        ActivitySource.AddActivityListener(activities);
        (KvSequence landed, _, _) = await f.HandOverAsync(sequence);
        using KvSequence owned = landed;
        SessionFixture.AssertSameRows(sequence, landed);
        Assert.True(thrown >= 4, $"{thrown} calls of listeners threw.");

        void Throw()
        {
            Interlocked.Increment(ref thrown);
            throw new InvalidOperationException("listener");
        }
    }

    [Fact]
    public void A_trace_context_that_is_too_long_is_refused_by_its_length()
    {
        var offer = new Offer(Guid.NewGuid(), 64, new KvShard(new IndexRange(0, 1), new IndexRange(0, 1), new IndexRange(0, 64)), CodecId.Raw, 1000, "", 0);
        Assert.Null((offer with { TraceParent = new string('a', 64) }).Check());
        WireError? error = (offer with { TraceParent = new string('a', 65) }).Check();
        Assert.Equal(WireErrorCode.BadValue, error?.Code);
        Assert.Contains("65", error!.Message, StringComparison.Ordinal);
        Assert.Contains("64", error.Message, StringComparison.Ordinal);
    }

    private static double Seconds(Activity activity, string happened) =>
        (double)activity.Events.Single(e => e.Name == happened).Tags.Single(t => t.Key == HandoffActivity.SecondsTag).Value!;
}
