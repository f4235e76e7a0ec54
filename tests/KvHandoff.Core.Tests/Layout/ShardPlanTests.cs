using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

public sealed partial class ShardPlanTests
{
    private const int Tokens = 300;

    private static readonly ModelIdentity Model = new("m", "r", 10000);

    private static readonly int[] TensorSizes = [1, 2, 4, 8, 16], PipelineSizes = [1, 2, 3], ContextSizes = [1, 2, 3];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void Every_row_of_every_target_is_sent_once_by_one_who_holds_it(int kvHeads)
    {
        // All pairs of tensor sizes; pipeline and context sizes of both sides sampled.
        var random = new Random(kvHeads);
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 7, kvHeads, 16);
        foreach (int from in TensorSizes)
        {
            foreach (int to in TensorSizes)
            {
                foreach ((int pp, int cp) in ((int, int)[])[(1, 1), (3, 3), Drawn(random)])
                {
                    (int targetPp, int targetCp) = Drawn(random);
                    Check(layout, Parallel(layout, from, pp, cp), Parallel(layout, to, targetPp, targetCp));
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(16)]
    public void Groups_of_different_heads_are_divided_each_by_its_own(int size)
    {
        KvCacheLayout layout = Mixed();
        foreach (int other in (int[])[1, 2, 8, 16])
        {
            if (size == 3) Check(Odd(), Parallel(Odd(), 3, 2, 2), Parallel(Odd(), 2, 1, 3));
            else Check(layout, Parallel(layout, size, 2, 1), Parallel(layout, other, 3, 2));
        }
    }

    [Fact]
    public void Random_boxes_that_overlap_anyhow_are_covered_or_the_gap_is_one()
    {
        var random = new Random(11);
        int planned = 0, refused = 0;
        for (int round = 0; round < 400; round++)
        {
            KvCacheLayout layout = round % 2 == 0 ? Mixed() : KvCacheLayout.Uniform(Model, 5, 6, 8);
            ImmutableArray<KvShard> sources = [.. Enumerable.Range(0, random.Next(1, 7)).Select(_ => Box(layout, random, 3))];
            ImmutableArray<KvShard> targets = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Box(layout, random, 1))];
            string? gap = Oracle.Gap(layout, Tokens, sources, targets);
            bool ok = ShardPlan.TryCreate(layout, Tokens, sources.AsSpan(), targets.AsSpan(), out ShardPlan? plan, out string? reason);
            Assert.True(ok == gap is null, $"Round {round}: the plan says {reason}, the oracle {gap}.");
            if (ok) Oracle.Check(plan!);
            else Assert.StartsWith("No source holds ", reason);
            (planned, refused) = ok ? (planned + 1, refused) : (planned, refused + 1);
        }

        Assert.True(planned > 50 && refused > 50, $"{planned} planned, {refused} refused: one kind was hardly tested.");
    }

    [Fact]
    public void A_latent_is_sent_to_each_target_once_however_many_ranks_hold_it()
    {
        KvCacheLayout layout = KvCacheLayout.Latent(Model, 8, 48, 16);
        long whole = layout.BytesForTokens(Tokens);
        foreach (int from in TensorSizes)
        {
            foreach (int to in TensorSizes)
            {
                ShardPlan plan = Check(layout, Parallel(layout, from, 1, 1), Parallel(layout, to, 1, 1));
                Assert.Equal(whole * to, plan.TotalBytes);
                for (int j = 0; j < to; j++) Assert.Equal(whole, plan.BytesTo(j));
                // Eight layers: sixteen replicas for one target leave half without work, else all carry the same.
                int busy = Math.Min(from, 8 * to);
                Assert.Equal(busy, plan.Pairs.Select(p => p.Source).Distinct().Count());
                if (to % from == 0 || from <= 8) Assert.All(Enumerable.Range(0, from), i => Assert.Equal(whole * to / from, plan.BytesFrom(i)));
            }
        }
    }

    [Fact]
    public void Replicas_share_the_load_and_a_target_meets_no_more_of_them_than_needed()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 8, 4, 16);
        // Four replicas of a head, two targets that hold it: two replicas each, half of the layers each.
        ShardPlan plan = Check(layout, Parallel(layout, 16, 1, 1), Parallel(layout, 8, 1, 1));
        Assert.Equal(16, plan.Pairs.Length);
        Assert.All(Enumerable.Range(0, 16), i => Assert.Equal(plan.TotalBytes / 16, plan.BytesFrom(i)));
        Assert.Equal([new ShardPiece(0, new IndexRange(0, 4), new IndexRange(0, 1), new IndexRange(0, Tokens))], plan.Pieces(0, 0).ToArray());
        Assert.Equal([new ShardPiece(0, new IndexRange(4, 4), new IndexRange(0, 1), new IndexRange(0, Tokens))], plan.Pieces(1, 0).ToArray());
        Assert.Contains("source 1 (replica 2 of 4) -> target 0", plan.ToString());
        // As many targets as replicas: one each.
        plan = Check(layout, Parallel(layout, 16, 1, 1), Parallel(layout, 16, 1, 1));
        Assert.All(plan.Pairs, p => Assert.Equal(p.Source, p.Target));
        Assert.Equal(16, plan.Pairs.Length);
        Assert.Empty(plan.Pieces(0, 1));
        Assert.Equal(0, plan.Bytes(0, 1));
    }

    [Fact]
    public void The_order_of_the_sources_does_not_change_what_their_places_send()
    {
        var random = new Random(5);
        KvCacheLayout layout = Mixed();
        KvShard[] sources = [.. Parallel(layout, 16, 2, 2)], targets = [.. Parallel(layout, 2, 3, 1)];
        ShardPlan plan = Check(layout, [.. sources], [.. targets]), again = Check(layout, [.. sources], [.. targets]);
        Assert.Equal(plan.ToString(), again.ToString());
        for (int round = 0; round < 5; round++)
        {
            KvShard[] shuffled = [.. sources];
            random.Shuffle(shuffled);
            ShardPlan other = Check(layout, [.. shuffled], [.. targets]);
            Assert.Equal(ByPlace(plan), ByPlace(other));
        }

        static IEnumerable<string> ByPlace(ShardPlan plan) => plan.Pairs.Select(p => $"{plan.Sources[p.Source]} -> {p.Target}: {string.Join("; ", p.Pieces)}").Order(StringComparer.Ordinal);
    }

    [Fact]
    public void What_no_source_holds_is_named()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 4, 2, 8);
        KvShard whole = KvShard.Whole(layout, Tokens);
        KvShard[] sources = [whole with { Tokens = new IndexRange(0, 128) }, whole with { Tokens = new IndexRange(128, 172), Layers = new IndexRange(0, 3) }];
        Assert.False(ShardPlan.TryCreate(layout, Tokens, sources, [whole], out ShardPlan? plan, out string? reason));
        Assert.Null(plan);
        Assert.Equal("No source holds group 0: layers 3..4, kv heads 0..2, tokens 128..300, which target 0 holds.", reason);
    }

    [Fact]
    public void Shards_out_of_range_are_named()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 4, 2, 8);
        KvShard whole = KvShard.Whole(layout, Tokens);
        Refused(whole with { Layers = new IndexRange(3, 2) }, "layers 3..5 are no part of 0..4");
        Refused(whole with { Layers = new IndexRange(int.MaxValue, int.MaxValue) }, "layers");
        Refused(whole with { KvHeads = new IndexRange(-1, 1) }, "kv heads -1..0 are no part of 0..2");
        Refused(whole with { Tokens = new IndexRange(0, 0) }, "tokens 0..0 are no part of 0..300");
        Refused(whole with { Tokens = new IndexRange(0, 100) }, "multiples of 64");
        Refused(whole with { Tokens = new IndexRange(32, 268) }, "multiples of 64");
        Refused(whole with { GroupHeads = [new IndexRange(0, 1), new IndexRange(0, 1)] }, "2 layer groups of 1");
        Refused(whole with { GroupHeads = [new IndexRange(1, 2)] }, "kv heads of group 0 1..3 are no part of 0..2");
        Assert.False(ShardPlan.TryCreate(layout, 0, [whole], [whole], out _, out string? reason));
        Assert.Contains("0 tokens", reason);
        Assert.False(ShardPlan.TryCreate(layout, Tokens, [], [whole], out _, out reason));
        Assert.Contains("0 source shards", reason);
        Assert.False(ShardPlan.TryCreate(layout, Tokens, [whole], new KvShard[ShardPlan.MaxShards + 1], out _, out reason));
        Assert.Contains("1025 target shards", reason);

        void Refused(KvShard shard, string expected)
        {
            Assert.False(ShardPlan.TryCreate(layout, Tokens, [whole], [whole, shard], out _, out string? why));
            Assert.Contains("target 1", why);
            Assert.Contains(expected, why);
        }
    }

    [Fact]
    public void Shards_that_follow_no_scheme_do_not_run_away()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 1000, 1000, 8);
        var random = new Random(3);
        KvShard[] shards = [.. Enumerable.Range(0, 1000).Select(_ => new KvShard(Range(random, 1000, 1), Range(random, 1000, 1), Range(random, 64_000, 64)))];
        Assert.False(ShardPlan.TryCreate(layout, 64_000, shards, shards, out _, out string? reason));
        Assert.Contains("allowed: 65536", reason);
    }

    [Fact]
    public void Ranks_hold_the_heads_that_engines_give_them()
    {
        Assert.Equal([new(0, 2), new(2, 2), new(4, 2), new(6, 2)], Enumerable.Range(0, 4).Select(r => KvShard.HeadsOfRank(8, r, 4)));
        Assert.Equal([new(0, 1), new(0, 1), new(1, 1), new(1, 1)], Enumerable.Range(0, 4).Select(r => KvShard.HeadsOfRank(2, r, 4)));
        Assert.Equal([new(0, 1), new(1, 2), new(3, 2)], Enumerable.Range(0, 3).Select(r => KvShard.HeadsOfRank(5, r, 3)));
        Assert.Contains("12", Assert.Throws<KvLayoutException>(() => KvShard.HeadsOfRank(8, 0, 12)).Message);
        Assert.Throws<KvLayoutException>(() => KvShard.HeadsOfRank(8, 2, 2));
        Assert.Throws<KvLayoutException>(() => KvShard.HeadsOfRank(8, 0, 0));

        // Eight, four and one head (sliding window, full attention, latent) over sixteen ranks; the one range says it.
        KvShard shard = KvShard.TensorParallel(Mixed(), Tokens, 13, 16);
        Assert.True(shard.GroupHeads.IsDefault);
        Assert.Equal([new(6, 1), new(3, 1), new(0, 1)], Enumerable.Range(0, 3).Select(g => shard.HeadsOf(Mixed(), g)));
        // Eight and six over three: it does not.
        shard = KvShard.TensorParallel(Odd(), Tokens, 1, 3);
        Assert.Equal([new(2, 3), new(2, 2)], Enumerable.Range(0, 2).Select(g => shard.HeadsOf(Odd(), g)));
        Assert.False(shard.GroupHeads.IsDefault);
        Assert.Equal(shard, KvShard.TensorParallel(Odd(), Tokens, 1, 3));
        Assert.NotEqual(shard, shard with { GroupHeads = default });
        Assert.Equal(new IndexRange(128, 172), KvShard.Whole(Odd(), Tokens).ContextParallel(1, 2).Tokens);
        Assert.Throws<KvLayoutException>(() => KvShard.Whole(Odd(), Tokens).ContextParallel(0, 6));
        Assert.Throws<KvLayoutException>(() => KvShard.Whole(Odd(), Tokens).PipelineParallel(0, 5));
    }

    [Fact]
    public void Bytes_count_the_scales_that_lie_in_the_blocks()
    {
        LayerGroup group = PackedCase.Group("int8", headDim: 48);
        var layout = new KvCacheLayout(Model, [group]);
        // K: 48 codes a token, 48 fp32 scales for each of 64, 64 and 2 tokens; V: 48 codes and one scale a token.
        long expected = 130 * 48 + 3 * 48 * 4 + 130 * (48 + 4);
        Assert.Equal(2 * 3 * expected, new ShardPiece(0, new IndexRange(0, 2), new IndexRange(0, 3), new IndexRange(0, 130)).Bytes(layout));
        Assert.Equal(expected, new ShardPiece(0, new IndexRange(1, 1), new IndexRange(2, 1), new IndexRange(64, 130)).Bytes(layout));
    }

    internal static ImmutableArray<KvShard> Parallel(KvCacheLayout layout, int tensor, int pipeline, int context) =>
    [
        .. from pp in Enumerable.Range(0, pipeline)
           from cp in Enumerable.Range(0, context)
           from tp in Enumerable.Range(0, tensor)
           select KvShard.TensorParallel(layout, Tokens, tp, tensor).PipelineParallel(pp, pipeline).ContextParallel(cp, context),
    ];

    private static ShardPlan Check(KvCacheLayout layout, ImmutableArray<KvShard> sources, ImmutableArray<KvShard> targets)
    {
        Assert.True(ShardPlan.TryCreate(layout, Tokens, sources.AsSpan(), targets.AsSpan(), out ShardPlan? plan, out string? reason), reason);
        Oracle.Check(plan!);
        return plan!;
    }

    // Layers of the groups alternate.
    private static KvCacheLayout Mixed() => new(Model,
    [
        new LayerGroup { Kind = AttentionKind.SlidingWindow, WindowTokens = 128, Layers = [0, 2, 4], KvHeads = 8, HeadDim = 8 },
        new LayerGroup { Layers = [1, 5], KvHeads = 4, HeadDim = 16 },
        new LayerGroup { Kind = AttentionKind.Latent, Layers = [3, 6], KvHeads = 1, HeadDim = 24 },
    ]);

    private static KvCacheLayout Odd() => new(Model,
    [
        new LayerGroup { Layers = [0, 3], KvHeads = 8, HeadDim = 8 },
        new LayerGroup { Layers = [1, 2], KvHeads = 6, HeadDim = 8 },
    ]);

    private static (int, int) Drawn(Random random) => (PipelineSizes[random.Next(3)], ContextSizes[random.Next(3)]);

    private static KvShard Box(KvCacheLayout layout, Random random, int wide)
    {
        KvShard whole = KvShard.Whole(layout, Tokens);
        var shard = new KvShard(Wide(whole.Layers.Count, 1), Wide(whole.KvHeads.Count, 1), Wide(Tokens, 64));
        return shard;

        IndexRange Wide(int end, int step) => random.Next(wide + 1) > 0 && wide > 1 ? new IndexRange(0, end) : Range(random, end, step);
    }

    private static IndexRange Range(Random random, int end, int step)
    {
        int steps = (end + step - 1) / step, first = random.Next(steps), last = random.Next(first, steps);
        return new IndexRange(first * step, Math.Min(end, (last + 1) * step) - first * step);
    }
}
