using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>One sequence, several receivers: all of them publish it or none does, within the deadline.</summary>
public sealed class GroupCommitTests
{
    private const int Tokens = 200;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_member_publishes_nothing_before_all_are_prepared()
    {
        await using ShardFixture f = await StartAsync();
        (OutgoingHandoff[] outgoing, IncomingHandoff[] incoming) = await OfferAsync(f, TimeSpan.FromSeconds(30));
        Publish(outgoing[1]);
        Task<HandoffCost> member = outgoing[1].CommitAsync(SessionFixture.Manifest(Tokens));
        await SessionFixture.EventuallyAsync(() => incoming[1].Status == HandoffStatus.Prepared, "the member is prepared");
        await Task.Delay(50);
        Assert.Equal(HandoffStatus.Prepared, incoming[1].Status);
        Task<KvSequence> committed = incoming[1].CommittedAsync();
        Assert.False(committed.IsCompleted);
        Publish(outgoing[0]);
        await Task.WhenAll(outgoing[0].CommitAsync(SessionFixture.Manifest(Tokens)), member).WaitAsync(Limit);
        (await committed.WaitAsync(Limit)).Dispose();
        (await incoming[0].CommittedAsync().WaitAsync(Limit)).Dispose();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task One_that_gives_up_ends_the_group(int who)
    {
        await using ShardFixture f = await StartAsync();
        (OutgoingHandoff[] outgoing, IncomingHandoff[] incoming) = await OfferAsync(f, TimeSpan.FromSeconds(30));
        Publish(outgoing[1 - who]);
        Task<HandoffCost> other = outgoing[1 - who].CommitAsync(SessionFixture.Manifest(Tokens));
        await SessionFixture.EventuallyAsync(() => incoming[1 - who].Status == HandoffStatus.Prepared, "the other is prepared");
        await incoming[who].DisposeAsync();
        HandoffException failure = await Assert.ThrowsAsync<HandoffException>(() => other.WaitAsync(Limit));
        Assert.Equal(HandoffFailure.Aborted, failure.Failure);
        await AssertFreeAsync(f);
    }

    [Fact]
    public async Task A_sender_that_aborts_ends_the_group()
    {
        await using ShardFixture f = await StartAsync();
        (OutgoingHandoff[] outgoing, IncomingHandoff[] incoming) = await OfferAsync(f, TimeSpan.FromSeconds(30));
        Publish(outgoing[1]);
        Task<HandoffCost> member = outgoing[1].CommitAsync(SessionFixture.Manifest(Tokens));
        await SessionFixture.EventuallyAsync(() => incoming[1].Status == HandoffStatus.Prepared, "the member is prepared");
        await outgoing[0].DisposeAsync();
        await Assert.ThrowsAsync<HandoffException>(() => member.WaitAsync(Limit));
        await AssertFreeAsync(f);
    }

    [Fact]
    public async Task A_coordinator_that_dies_ends_every_member_within_the_deadline()
    {
        await using ShardFixture f = await StartAsync();
        (OutgoingHandoff[] outgoing, IncomingHandoff[] incoming) = await OfferAsync(f, TimeSpan.FromSeconds(1));
        Publish(outgoing[1]);
        Task<HandoffCost> member = outgoing[1].CommitAsync(SessionFixture.Manifest(Tokens));
        await SessionFixture.EventuallyAsync(() => incoming[1].Status == HandoffStatus.Prepared, "the member is prepared");
        await f.Receivers[0].DisposeAsync();
        HandoffException there = await Assert.ThrowsAsync<HandoffException>(() => member.WaitAsync(Limit));
        HandoffException here = await Assert.ThrowsAsync<HandoffException>(() => incoming[1].CommittedAsync().WaitAsync(Limit));
        Assert.Contains(there.Failure, new[] { HandoffFailure.Expired, HandoffFailure.Aborted });
        Assert.Contains(here.Failure, new[] { HandoffFailure.Expired, HandoffFailure.Aborted });
        await AssertFreeAsync(f);
    }

    [Fact]
    public async Task A_receiver_that_knows_no_coordinator_refuses_its_part()
    {
        await using ShardFixture f = await StartAsync();
        HandoffException refused = await Assert.ThrowsAsync<HandoffException>(() => f.Senders[(0, 0)].OfferAsync(f.SourceSequences[0],
            f.Offer(Guid.NewGuid(), 0, 0) with { Group = new HandoffGroup(f.Sources, f.Targets, 0, 0, Coordinator: 1) }).WaitAsync(Limit));
        Assert.Contains("has not been told where it is", refused.Message);
    }

    private static async Task<ShardFixture> StartAsync()
    {
        KvCacheLayout layout = SessionFixture.Layout(kvHeads: 4);
        return await ShardFixture.StartAsync(layout, layout, Tokens, [KvShard.Whole(layout, Tokens)], ShardedHandoffTests.Split(layout, 2, 1, 1, Tokens));
    }

    private static async Task<(OutgoingHandoff[] Outgoing, IncomingHandoff[] Incoming)> OfferAsync(ShardFixture f, TimeSpan deadline)
    {
        var id = Guid.NewGuid();
        var outgoing = new OutgoingHandoff[2];
        var incoming = new IncomingHandoff[2];
        for (int t = 0; t < 2; t++)
        {
            outgoing[t] = await f.Senders[(0, t)].OfferAsync(f.SourceSequences[0], f.Offer(id, 0, t, deadline)).WaitAsync(Limit);
            incoming[t] = await f.Receivers[t].IncomingAsync().FirstAsync();
        }

        return (outgoing, incoming);
    }

    private static void Publish(OutgoingHandoff outgoing)
    {
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
    }

    private static async Task AssertFreeAsync(ShardFixture f)
    {
        foreach (PagedKvCache cache in f.TargetCaches) await SessionFixture.EventuallyAsync(() => cache.UsedBlocks == 0, "all blocks are free");
    }
}
