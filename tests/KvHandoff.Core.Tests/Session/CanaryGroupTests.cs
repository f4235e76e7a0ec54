using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>
/// A group whose receivers hold different tokens: the softmax is whole only when the coordinator has joined their parts. The sender's own rows go wrong after its
/// engine attended, so that every checksum is right.
/// </summary>
public sealed class CanaryGroupTests
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

    // Softmax attention in double over the whole sequence's rows, for queries that spread their weight over a few tokens.
    private static CanarySet Engine(ShardFixture f, Guid id, int perHead = 1)
    {
        KvCacheLayout layout = f.SourceLayout;
        int heads = layout.Groups[0].KvHeads, dim = layout.Groups[0].HeadDim;
        var random = new Random(5);
        var pairs = ImmutableArray.CreateBuilder<CanaryPair>();
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            for (int head = 0; head < heads * perHead; head++)
            {
                float[] keys = Rows(f.Whole, layer, head / perHead, KvPlane.Key, dim), values = Rows(f.Whole, layer, head / perHead, KvPlane.Value, dim);
                float[] query = [.. Enumerable.Range(0, dim).Select(_ => (float)(random.NextDouble() * 2 - 1))];
                var output = new double[dim];
                double sum = 0;
                for (int token = 0; token < Tokens; token++)
                {
                    double logit = 0;
                    for (int d = 0; d < dim; d++) logit += (double)query[d] * keys[token * dim + d];
                    double weight = Math.Exp(logit / Math.Sqrt(dim));
                    sum += weight;
                    for (int d = 0; d < dim; d++) output[d] += weight * values[token * dim + d];
                }

                pairs.Add(new CanaryPair(layer, head, query, (float[])[.. output.Select(x => (float)(x / sum))]));
            }
        }

        return new CanarySet { Pairs = pairs.ToImmutable(), QueryHeads = heads * perHead, Tokens = Tokens };
    }

    private static float[] Rows(KvSequence sequence, int layer, int head, KvPlane plane, int dim)
    {
        var rows = new float[Tokens * dim];
        StoredRows.Unpack(sequence.View(layer), head, plane, 0, new RowRuns(MemoryMarshal.AsBytes(rows.AsSpan()), dim * sizeof(float)), ElementType.Float32);
        return rows;
    }

    /// <summary>Layer 1 goes wrong at every sender, in the tokens of one part alone.</summary>
    private static void Spoil(ShardFixture f, Damage damage, int part, int parts)
    {
        KvShard spoiled = KvShard.Whole(f.SourceLayout, Tokens).ContextParallel(part, parts);
        for (int s = 0; s < f.Sources.Length; s++)
        {
            KvLayerView view = f.SourceSequences[s].View(1);
            int first = Math.Max(spoiled.Tokens.Start - f.Sources[s].Tokens.Start, 0), end = Math.Min(spoiled.Tokens.End - f.Sources[s].Tokens.Start, view.Tokens);
            for (int token = first; token < end; token++)
            {
                if (damage == Damage.HeadsSwapped) Swap(view.Row(0, KvPlane.Key, token), view.Row(1, KvPlane.Key, token));
                if (damage == Damage.TokensPermuted && token - first < end - 1 - token) Swap(view.Row(0, KvPlane.Key, token), view.Row(0, KvPlane.Key, end - 1 - (token - first)));
                if (damage == Damage.ScaleWrong) Scale(view, 0, KvPlane.Value, token);
            }
        }
    }

    private static void Swap(Span<byte> a, Span<byte> b)
    {
        byte[] kept = a.ToArray();
        b.CopyTo(a);
        kept.CopyTo(b);
    }

    private static void Scale(in KvLayerView view, int head, KvPlane plane, int token)
    {
        foreach (ref BFloat16 x in MemoryMarshal.Cast<byte, BFloat16>(view.Row(head, plane, token))) x = (BFloat16)(4 * (float)x);
    }
}
