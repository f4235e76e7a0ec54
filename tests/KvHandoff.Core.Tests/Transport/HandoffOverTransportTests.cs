using KvHandoff.Core.Tests.Session;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>A whole handoff over each transport: a session needs its name and nothing else.</summary>
public sealed class HandoffOverTransportTests
{
    private const int Tokens = 300;

    [Theory]
    [InlineData("unix://@kv-handoff-")]
    [InlineData("tls://127.0.0.1:0")]
    [InlineData("loopback://kv-handoff-")]
    public async Task A_sequence_lands_as_it_was(string endpoint)
    {
        if (endpoint.EndsWith('-')) endpoint += Guid.NewGuid().ToString("N");
        using PagedKvCache source = PagedKvCache.Allocate(SessionFixture.Layout(), 1024), target = PagedKvCache.Allocate(SessionFixture.Layout(), 1024);
        await using KvReceiver receiver = await KvReceiver.ListenAsync(endpoint, target, new KvReceiverOptions { Transport = TestCertificates.Mutual });
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, source, new KvSenderOptions { Streams = 2, Transport = TestCertificates.Mutual });
        using KvSequence sent = SessionFixture.Fill(source, Tokens, seed: 3);
        Task<IncomingHandoff> accepting = NextAsync(receiver);
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sent, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await accepting;
        for (int layer = 0; layer < source.Layout.LayerCount; layer++) outgoing.Publish(layer, Tokens);
        await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Blocking.Limit);
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Blocking.Limit);
        SessionFixture.AssertSameRows(sent, landed);
    }

    [Fact]
    public async Task A_flipped_payload_bit_is_never_committed()
    {
        // Connection 1 is the first data connection: its preface, then frames. Byte 10,000 of a frame is payload.
        FaultPlan plan = new FaultPlan().With(new ScriptedFault(FaultSides.Connecting, 1, 2, FaultKind.Flip, At: 8 * 10_000));
        FaultTransport lab = new(LoopbackTransport.Instance, plan, "lab");
        using IDisposable registration = Transports.Register(lab);
        using PagedKvCache source = PagedKvCache.Allocate(SessionFixture.Layout(), 1024), target = PagedKvCache.Allocate(SessionFixture.Layout(), 1024);
        await using KvReceiver receiver = await KvReceiver.ListenAsync($"{lab.Name}://{Guid.NewGuid():N}", target);
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, source);
        using KvSequence sent = SessionFixture.Fill(source, Tokens, seed: 4);
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sent, new HandoffOffer { TotalTokens = Tokens });
        for (int layer = 0; layer < source.Layout.LayerCount; layer++) outgoing.Publish(layer, Tokens);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Blocking.Limit));
        Assert.Equal(HandoffFailure.Corrupt, e.Failure);
        Assert.True(Assert.Single(plan.Events).MessageBytes > 10_000);
    }

    private static async Task<IncomingHandoff> NextAsync(KvReceiver receiver)
    {
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync()) return incoming;
        throw new InvalidOperationException("The receiver ended without a handoff.");
    }
}
