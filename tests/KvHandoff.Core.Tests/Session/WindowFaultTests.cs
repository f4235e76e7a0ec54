using KvHandoff.Fuzz;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>What breaks while the sender can write into the receiver's blocks by itself: nothing stays held, nothing is unmapped under a writer, nothing wrong is committed.</summary>
public sealed class WindowFaultTests
{
    private const int Tokens = 130;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(FaultKind.Stall)]
    [InlineData(FaultKind.Drop)]
    public async Task Blocks_that_were_granted_too_late_are_given_back_while_the_sender_stays(FaultKind kind)
    {
        if (!OperatingSystem.IsLinux()) return;
        // Message 1 of the receiver's side of the control connection is the grant.
        FaultPlan plan = new FaultPlan(1, FaultSides.Accepting).With(new ScriptedFault(FaultSides.Accepting, 0, 1, kind));
        await using Pair pair = await Pair.StartAsync(new KvReceiverOptions { Lease = TimeSpan.FromMinutes(5) }, plan: plan);
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 1);
        HandoffException expired = await Assert.ThrowsAsync<HandoffException>(() => pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, Deadline = TimeSpan.FromMilliseconds(200) }).WaitAsync(Limit));
        Assert.Equal(HandoffFailure.Expired, expired.Failure);
        plan.Gate.Open();
        await SessionFixture.EventuallyAsync(() => pair.Target.UsedBlocks == 0, "the blocks are free, and the sender is still connected");
        await pair.HandsOverAsync(sequence);
    }

    [Fact]
    public async Task An_expired_grant_that_never_came_is_given_back_as_well()
    {
        if (!OperatingSystem.IsLinux()) return;
        FaultPlan plan = new FaultPlan(1, FaultSides.Accepting).With(new ScriptedFault(FaultSides.Accepting, 0, 1, FaultKind.Drop));
        await using Pair pair = await Pair.StartAsync(new KvReceiverOptions { Lease = TimeSpan.FromMilliseconds(200) }, plan: plan);
        using KvSequence sequence = SessionFixture.Fill(pair.Source, Tokens, seed: 2);
        await Assert.ThrowsAsync<HandoffException>(() => pair.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, Deadline = TimeSpan.FromMinutes(5) }).WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => pair.Target.UsedBlocks == 0, "the blocks are free, and the sender is still connected");
    }

    [Fact]
    public async Task A_sender_that_does_not_let_go_is_cut_off_after_the_lease()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(new KvReceiverOptions { Lease = TimeSpan.FromMilliseconds(300) });
        HandmadeSender late = await HandmadeSender.ConnectAsync(pair.Receiver.Endpoint, pair.Target.Layout);
        await late.OfferAsync(pair.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
        Task ending = incoming.DisposeAsync().AsTask();
        Assert.IsType<Abort>(await late.NextAsync());
        // It says nothing more, and the receiver closes.
        await Assert.ThrowsAsync<TransportException>(late.NextAsync);
        Assert.False(ending.IsCompleted);
        await late.DisposeAsync();
        await ending.WaitAsync(Limit);
        Assert.Equal(0, pair.Target.UsedBlocks);
    }

    [Fact]
    public async Task Rows_written_in_place_are_not_taken_for_those_of_a_receivers_new_life()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(null, resume: TimeSpan.FromSeconds(20));
        await using OutgoingHandoff outgoing = await pair.Sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
        float[] rows = new float[Tokens * 2 * 32];
        for (int layer = 0; layer < 3; layer++)
        {
            Assert.True(outgoing.WriteRows(layer, 0, rows, rows));
            if (layer < 2) outgoing.Publish(layer, Tokens);
        }

        string endpoint = pair.Receiver.Endpoint;
        await pair.Receiver.DisposeAsync();
        pair.Receiver = await KvReceiver.ListenAsync(endpoint, pair.Target);
        outgoing.Publish(2, Tokens);
        HandoffException gone = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit));
        Assert.Contains(gone.Failure, new[] { HandoffFailure.PeerGone, HandoffFailure.Aborted });
        Assert.False(outgoing.WriteRows(0, 0, rows, rows));
        Assert.Equal(0, pair.Receiver.OpenHandoffs);
    }

    [Fact]
    public async Task Blocks_stay_mapped_under_a_writer_whose_link_ends()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using Pair pair = await Pair.StartAsync(new KvReceiverOptions { Lease = TimeSpan.FromMilliseconds(300) });
        await using OutgoingHandoff outgoing = await pair.Sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
        IncomingHandoff incoming = await pair.Receiver.IncomingAsync().FirstAsync();
        Task? closing = null;
        bool written = await Task.Run(() => outgoing.Write(1, target =>
        {
            closing = pair.Receiver.DisposeAsync().AsTask();
            Assert.True(SpinWait.SpinUntil(() => outgoing.Status == HandoffStatus.Aborted, Limit));
            // Time for the link to be torn down under us.
            Thread.Sleep(100);
            for (int token = 0; token < Tokens; token++) target.Row(0, KvPlane.Key, token).Fill(0x11);
            Assert.NotEqual(0, pair.Target.UsedBlocks);
        }));
        Assert.True(written);
        await closing!.WaitAsync(Limit);
        await SessionFixture.EventuallyAsync(() => pair.Target.UsedBlocks == 0, "the blocks are free once the writer has left");
        Assert.False(outgoing.Write(1, _ => Assert.Fail("the handoff has ended")));
        Assert.Equal(HandoffStatus.Aborted, incoming.Status);
    }

    private sealed class Pair : IAsyncDisposable
    {
        private IDisposable? _registration;

        internal required PagedKvCache Source { get; init; }

        internal required PagedKvCache Target { get; init; }

        internal required KvReceiver Receiver { get; set; }

        internal required KvSender Sender { get; init; }

        internal static async Task<Pair> StartAsync(KvReceiverOptions? options, TimeSpan resume = default, FaultPlan? plan = null)
        {
            KvCacheLayout layout = SessionFixture.Layout();
            IDisposable? registration = null;
            string scheme = "shm";
            if (plan is not null)
            {
                var faulty = new FaultTransport(SharedMemoryTransport.Instance, plan, $"window{Guid.NewGuid():n}");
                registration = Transports.Register(faulty);
                scheme = faulty.Name;
            }

            SharedSlab slab = SharedSlab.Create("kvhandoff-test", PagedKvCache.RequiredBytes(layout, 256));
            PagedKvCache from = PagedKvCache.Allocate(layout, 256), to = PagedKvCache.Over(layout, slab, 256, owned: true);
            KvReceiver receiver = await KvReceiver.ListenAsync($"{scheme}://@kvhandoff-{Guid.NewGuid():n}", to, options);
            KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { ResumeWithin = resume });
            return new Pair { Source = from, Target = to, Receiver = receiver, Sender = sender, _registration = registration };
        }

        internal async Task HandsOverAsync(KvSequence sequence)
        {
            await using OutgoingHandoff outgoing = await Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit);
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
            await foreach (IncomingHandoff incoming in Receiver.IncomingAsync())
            {
                // The first was announced as well, and has ended.
                if (incoming.Id != outgoing.Id) continue;
                using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
                SessionFixture.AssertSameRows(sequence, landed);
                return;
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Sender.DisposeAsync();
            await Receiver.DisposeAsync();
            _registration?.Dispose();
            Source.Dispose();
            Target.Dispose();
        }
    }
}
