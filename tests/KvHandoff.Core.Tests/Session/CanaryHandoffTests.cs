using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>The canary as a part of the handoff: what every checksum passes and attention does not.</summary>
public sealed class CanaryHandoffTests
{
    private const int Tokens = 200;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(CodecId.Raw, DimensionOrder.TokenMajor)]
    [InlineData(CodecId.ExponentWindow, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.Fp8E4M3, DimensionOrder.PlaneHeadMajor)]
    [InlineData(CodecId.Int8, DimensionOrder.PackedKey)]
    public async Task What_landed_attends_alike(CodecId codec, DimensionOrder order)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(SessionFixture.Layout(), SessionFixture.Layout(order: order), codec: codec);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        await outgoing.CommitAsync(SessionFixture.Manifest(Tokens), Seeded(sequence, outgoing.Id)).WaitAsync(Limit);
        (await (await accepting).CommittedAsync().WaitAsync(Limit)).Dispose();
    }

    [Fact]
    public async Task Rows_that_no_longer_belong_together_are_not_published()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 2);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        CanarySet canary = Seeded(sequence, outgoing.Id);
        // After its engine attended, the sender's own cache went wrong: the keys of two heads changed places. Every checksum is right.
        KvLayerView view = sequence.View(1);
        for (int token = 0; token < Tokens; token++)
        {
            byte[] first = view.Row(0, KvPlane.Key, token).ToArray();
            view.Row(1, KvPlane.Key, token).CopyTo(view.Row(0, KvPlane.Key, token));
            first.CopyTo(view.Row(1, KvPlane.Key, token));
        }

        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        HandoffException failure = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(Tokens), canary).WaitAsync(Limit));
        Assert.Equal(HandoffFailure.Corrupt, failure.Failure);
        Assert.Contains("attention of layer 1, head", failure.Message);
        await Assert.ThrowsAsync<HandoffException>(async () => await (await accepting).CommittedAsync().WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "the blocks are free");
    }

    [Fact]
    public async Task Every_rank_compares_what_it_holds()
    {
        KvCacheLayout layout = SessionFixture.Layout(kvHeads: 4);
        await using ShardFixture f = await ShardFixture.StartAsync(layout, layout, Tokens, [KvShard.Whole(layout, Tokens)], ShardedHandoffTests.Split(layout, 2, 1, 1, Tokens));
        for (int round = 0; round < 2; round++)
        {
            var id = Guid.NewGuid();
            Task<KvSequence>[] landing = [.. f.Receivers.Select(async r => await (await r.IncomingAsync().FirstAsync()).CommittedAsync())];
            CanarySet canary = Seeded(f.SourceSequences[0], id);
            if (round == 1) f.SourceSequences[0].View(2).Row(3, KvPlane.Value, 7).Fill(0x42);
            Task<HandoffCost>[] committing = new Task<HandoffCost>[2];
            var outgoing = new OutgoingHandoff[2];
            for (int t = 0; t < 2; t++)
            {
                outgoing[t] = await f.Senders[(0, t)].OfferAsync(f.SourceSequences[0], f.Offer(id, 0, t));
                for (int layer = 0; layer < 3; layer++) outgoing[t].Publish(layer, Tokens);
                committing[t] = outgoing[t].CommitAsync(SessionFixture.Manifest(Tokens), canary);
            }

            if (round == 0)
            {
                await Task.WhenAll(committing).WaitAsync(Limit);
                foreach (KvSequence sequence in await Task.WhenAll(landing).WaitAsync(Limit)) sequence.Dispose();
            }
            else
            {
                // The one rank that holds the head finds it; the other, prepared, hears of it from the coordinator.
                foreach (Task<HandoffCost> commit in committing) await Assert.ThrowsAsync<HandoffException>(() => commit.WaitAsync(Limit));
                foreach (Task<KvSequence> land in landing) await Assert.ThrowsAsync<HandoffException>(() => land.WaitAsync(Limit));
            }

            foreach (OutgoingHandoff handoff in outgoing) await handoff.DisposeAsync();
        }
    }

    private static CanarySet Seeded(KvSequence sequence, Guid id) =>
        AttentionCanary.CreateSeeded(sequence, Tokens, id, AttentionCanary.Sample(sequence.Cache.Layout, 16).AsSpan())!;
}
