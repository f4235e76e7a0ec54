using System.Collections.Immutable;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Fuzz;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>
/// A group whose receivers hold different tokens: the softmax is whole only when the coordinator has joined their parts. The sender's own rows go wrong after its
/// engine attended, so that every checksum is right.
/// </summary>
public sealed partial class CanaryGroupTests
{
    private const int Tokens = 256, Layers = 3, Heads = 4;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static TheoryData<int, int, int, int> Shapes => new()
    {
        // (tensor, context) parallel of the senders, and of the receivers.
        { 1, 1, 1, 2 },
        { 1, 1, 2, 2 },
        { 2, 1, 1, 4 },
        { 1, 2, 1, 4 },
        { 1, 2, 2, 2 },
        { 1, 4, 2, 2 },
        { 2, 2, 4, 2 },
    };

    public static TheoryData<CodecId, Damage> CodecsAndDamages
    {
        get
        {
            var all = new TheoryData<CodecId, Damage>();
            foreach (CodecId codec in (CodecId[])[CodecId.Raw, CodecId.Fp8E4M3, CodecId.Int8, CodecId.MxFp8, CodecId.ExponentWindow, CodecId.Lz4])
            {
                foreach (Damage damage in Enum.GetValues<Damage>()) all.Add(codec, damage);
            }

            return all;
        }
    }

    public enum Damage
    {
        None,
        HeadsSwapped,
        ScaleWrong,
        TokensPermuted,
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task A_right_cache_commits_and_one_wrong_part_aborts_the_whole_group(int tp, int cp, int toTp, int toCp)
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads), target = SessionFixture.Layout(Layers, Heads, blockTokens: 16, order: DimensionOrder.TokenMajor);
        await using ShardFixture f = await StartAsync(layout, target, tp, cp, toTp, toCp);
        var id = new Guid(1, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        await CommitsAsync(f, id, Engine(f, id));
        Spoil(f, Damage.HeadsSwapped, part: toCp - 1, toCp);
        await AbortsAsync(f, new Guid(2, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]), Engine(f, id));
    }

    [Theory]
    [MemberData(nameof(CodecsAndDamages))]
    public async Task Every_codec_has_its_tolerance_and_every_damage_is_beyond_it(CodecId codec, Damage damage)
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads);
        await using ShardFixture f = await StartAsync(layout, layout, 1, 1, 2, 2, codec);
        var id = new Guid(3, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        CanarySet engine = Engine(f, id);
        Spoil(f, damage, part: 0, parts: 2);
        if (damage == Damage.None) await CommitsAsync(f, id, engine);
        else await AbortsAsync(f, id, engine);
    }

    [Fact]
    public async Task A_seeded_canary_is_joined_as_well_of_latents_too()
    {
        KvCacheLayout latent = KvCacheLayout.Latent(SessionFixture.Model, 2, 64, 16);
        await using ShardFixture f = await StartAsync(latent, latent, 1, 1, 1, 2);
        for (int round = 0; round < 2; round++)
        {
            var id = new Guid(4 + round, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
            CanarySet set = AttentionCanary.CreateSeeded(f.Whole, Tokens, id, AttentionCanary.Sample(latent, 2).AsSpan())!;
            if (round == 1) for (int token = 0; token < 128; token++) Scale(f.SourceSequences[0].View(1), 0, KvPlane.Key, token);
            if (round == 0) await CommitsAsync(f, id, set);
            else await AbortsAsync(f, id, set);
        }
    }

    [Fact]
    public async Task A_cache_that_is_stored_in_8_bits_is_judged_by_its_own_tolerance()
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads);
        var stored = new KvCacheLayout(SessionFixture.Model,
            [new LayerGroup { Layers = [0, 1, 2], KvHeads = Heads, HeadDim = 32, ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerChannelTile, ValueScaleKind = ScaleKind.PerTokenHead }]);
        await using ShardFixture f = await StartAsync(layout, stored, 1, 1, 1, 2);
        var id = new Guid(6, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        CanarySet engine = Engine(f, id);
        await CommitsAsync(f, id, engine);
        Spoil(f, Damage.ScaleWrong, part: 1, parts: 2);
        await AbortsAsync(f, new Guid(7, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]), engine);
    }

    [Fact]
    public async Task One_wrong_replica_is_found()
    {
        // Two kv heads over four ranks: each is held twice, and each replica has its own sender.
        KvCacheLayout layout = SessionFixture.Layout(Layers, kvHeads: 2);
        await using ShardFixture f = await StartAsync(layout, layout, 4, 1, 4, 2);
        var id = new Guid(8, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        CanarySet engine = Engine(f, id);
        await CommitsAsync(f, id, engine);
        for (int token = 0; token < 128; token++) Scale(f.SourceSequences[1].View(1), 0, KvPlane.Value, token);
        await AbortsAsync(f, new Guid(9, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]), engine);
    }

    [Fact]
    public async Task What_takes_several_messages_is_joined_when_all_are_there()
    {
        KvCacheLayout layout = SessionFixture.Layout(8, 8, headDim: 128);
        await using ShardFixture f = await StartAsync(layout, layout, 1, 1, 1, 2);
        var id = new Guid(10, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        CanarySet engine = Engine(f, id, perHead: 4);
        Assert.Equal(CanarySet.MaxPairs, engine.Pairs.Length);
        await CommitsAsync(f, id, engine);
        for (int token = 128; token < Tokens; token++) Scale(f.SourceSequences[0].View(7), 7, KvPlane.Value, token);
        await AbortsAsync(f, new Guid(11, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]), engine, "layer 7, head 28");
    }

    [Fact]
    public async Task Of_senders_that_hold_a_part_each_receiver_compares_what_it_holds_whole_by_itself()
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads);
        await using ShardFixture f = await StartAsync(layout, layout, 1, 2, 1, 2);
        for (int round = 0; round < 2; round++)
        {
            var id = new Guid(12 + round, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
            CanarySet[] sets = [.. Enumerable.Range(0, 2).Select(s => AttentionCanary.CreateSeeded(f.SourceSequences[s], 128, id, AttentionCanary.Sample(layout, Layers * Heads).AsSpan(), layout, f.Sources[s])!)];
            if (round == 1) Spoil(f, Damage.ScaleWrong, part: 1, parts: 2);
            (Task<HandoffCost>[] committing, Task<KvSequence>[] landing) = await HandOverAsync(f, id, source => sets[source]);
            if (round == 0) foreach (KvSequence landed in await Task.WhenAll(landing).WaitAsync(Limit)) landed.Dispose();
            else foreach (Task task in (Task[])[.. committing, .. landing]) await Assert.ThrowsAsync<HandoffException>(() => task.WaitAsync(Limit));
        }
    }

    [Fact]
    public async Task A_pair_that_some_receivers_were_not_given_stops_nobody()
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads);
        await using ShardFixture f = await StartAsync(layout, layout, 1, 2, 1, 2);
        var id = new Guid(14, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        CanarySet engine = Engine(f, id);
        (_, Task<KvSequence>[] landing) = await HandOverAsync(f, id, source => source == 0 ? engine : null);
        foreach (KvSequence landed in await Task.WhenAll(landing).WaitAsync(Limit)) landed.Dispose();
    }

    [Fact]
    public async Task States_that_cannot_be_read_abort_the_group_and_their_member_hears_why()
    {
        KvCacheLayout layout = SessionFixture.Layout(Layers, Heads);
        await using ShardFixture f = await StartAsync(layout, layout, 1, 1, 1, 2);
        var id = new Guid(15, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]);
        await using OutgoingHandoff outgoing = await f.Senders[(0, 0)].OfferAsync(f.SourceSequences[0], f.Offer(id, 0, 0)).WaitAsync(Limit);
        for (int known = 0; known < 2; known++)
        {
            // A member of a group that is known, and of one that is not.
            Guid group = known == 0 ? id : Guid.NewGuid();
            await using IConnection connection = await HandmadeSender.OpenAsync(f.Receivers[0].Endpoint);
            await HandmadeSender.SendPrefaceAsync(connection, ConnectionPreface.Control);
            IDuplexPipe pipe = connection.AsPipe();
            await ControlWriter.WriteAsync(pipe.Output, new Hello(layout, "member", 1) { IsGroupMember = true }, CancellationToken.None);
            Assert.IsType<Welcome>((await ControlReader.ReadAsync(pipe.Input).AsTask().WaitAsync(Limit)).Message);
            await ControlWriter.WriteAsync(pipe.Output, new Prepared(group, 1, true, "") { CanaryStates = new byte[] { 1, 2, 3 } }, CancellationToken.None);
            var decision = Assert.IsType<Decision>((await ControlReader.ReadAsync(pipe.Input).AsTask().WaitAsync(Limit)).Message);
            Assert.Equal((group, HandoffOutcome.Aborted), (decision.HandoffId, decision.State));
            Assert.Contains("Canary states of 3 bytes; allowed: 16 to 196608", decision.Message);
            await pipe.Output.CompleteAsync();
            await pipe.Input.CompleteAsync();
        }

        for (int layer = 0; layer < Layers; layer++) outgoing.Publish(layer, Tokens);
        await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => f.TargetCaches[0].UsedBlocks == 0, "the blocks are free");
    }

    private static Task<ShardFixture> StartAsync(KvCacheLayout source, KvCacheLayout target, int tp, int cp, int toTp, int toCp, CodecId codec = CodecId.Raw) =>
        ShardFixture.StartAsync(source, target, Tokens, ShardedHandoffTests.Split(source, tp, 1, cp, Tokens), ShardedHandoffTests.Split(target, toTp, 1, toCp, Tokens), codec, inProcess: true);

    private static async Task CommitsAsync(ShardFixture f, Guid id, CanarySet set)
    {
        (Task<HandoffCost>[] committing, Task<KvSequence>[] landing) = await HandOverAsync(f, id, _ => set);
        await Task.WhenAll(committing).WaitAsync(Limit);
        KvSequence[] landed = await Task.WhenAll(landing).WaitAsync(Limit);
        foreach (KvSequence sequence in landed) sequence.Dispose();
    }

    private static async Task AbortsAsync(ShardFixture f, Guid id, CanarySet set, string where = "layer 1, head")
    {
        (Task<HandoffCost>[] committing, Task<KvSequence>[] landing) = await HandOverAsync(f, id, _ => set);
        foreach (Task task in (Task[])[.. committing, .. landing])
        {
            HandoffException failure = await Assert.ThrowsAsync<HandoffException>(() => task.WaitAsync(Limit));
            Assert.Equal(HandoffFailure.Corrupt, failure.Failure);
            Assert.Contains($"attention of {where}", failure.Message);
        }

        foreach (PagedKvCache cache in f.TargetCaches) await SessionFixture.EventuallyAsync(() => cache.UsedBlocks == 0, "the blocks are free");
    }

    /// <summary>Every sender offers, publishes and commits with its canary; what the senders and the receivers wait for.</summary>
    private static async Task<(Task<HandoffCost>[] Committing, Task<KvSequence>[] Landing)> HandOverAsync(ShardFixture f, Guid id, Func<int, CanarySet?> canary)
    {
        Task<KvSequence>[] landing = [.. f.Receivers.Select(async r => await (await r.IncomingAsync().FirstAsync()).CommittedAsync())];
        var committing = new List<Task<HandoffCost>>();
        foreach (((int source, int target), KvSender sender) in f.Senders)
        {
            KvSequence sequence = f.SourceSequences[source];
            OutgoingHandoff outgoing = await sender.OfferAsync(sequence, f.Offer(id, source, target)).WaitAsync(Limit);
            for (int layer = 0; layer < sequence.Cache.Layout.LayerCount; layer++) outgoing.Publish(layer, sequence.Tokens);
            committing.Add(outgoing.CommitAsync(SessionFixture.Manifest(Tokens), canary(source)));
        }

        await Task.WhenAny(Task.WhenAll((Task[])[.. committing, .. landing]), Task.Delay(Limit));
        return ([.. committing], landing);
    }
}
