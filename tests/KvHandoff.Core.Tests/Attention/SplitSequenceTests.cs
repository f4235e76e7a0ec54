using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Where blocks lie does not matter; parts of a sequence, here or on several workers, join to the whole.</summary>
public sealed class SplitSequenceTests
{
    const int Tokens = 333, QueryHeads = 6, QueryTokens = 3;

    public static TheoryData<string> Families => AttentionFamilies.Names;

    [Theory]
    [MemberData(nameof(Families))]
    public void Where_blocks_lie_does_not_change_a_bit(string family)
    {
        using var straight = new StoredCase(AttentionFamilies.Group(family), Tokens, shuffle: 0);
        using var shuffled = new StoredCase(AttentionFamilies.Group(family), Tokens, shuffle: 5);
        AttentionBits.Same([.. straight.Keys.Select(x => (float)x)], [.. shuffled.Keys.Select(x => (float)x)], "the content");
        float[] query = straight.Query(QueryHeads, QueryTokens);
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] output, float[] logSumExp) = straight.Run(target, QueryHeads, query, default);
            (float[] otherOutput, float[] otherLogSumExp) = shuffled.Run(target, QueryHeads, query, default);
            AttentionBits.Same(output, otherOutput, KernelChoices.Name(target));
            AttentionBits.Same(logSumExp, otherLogSumExp, KernelChoices.Name(target));
        }
    }

    [Theory]
    [InlineData(DimensionOrder.TokenMajor)]
    [InlineData(DimensionOrder.PlaneHeadMajor)]
    [InlineData(DimensionOrder.PackedKey)]
    [InlineData(DimensionOrder.TransposedKey)]
    public void Keys_and_values_in_different_regions_are_the_same_to_a_bit(DimensionOrder order)
    {
        foreach (LayerGroup group in (LayerGroup[])[StoredForms.Plain(ElementType.Float16, blockTokens: 48, order: order), StoredForms.Scaled(ElementType.Int8, ScaleKind.PerHead, ScaleKind.PerHead, order: order)])
        {
            using StoredCase together = new(group, Tokens), apart = new(group, Tokens, apart: true);
            float[] query = together.Query(QueryHeads, QueryTokens);
            ReferenceAttention expected = ReferenceAttention.Attend(apart, query, QueryHeads, default);
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = apart.Run(target, QueryHeads, query, default);
                expected.Check(output, logSumExp, KernelChoices.Name(target));
                AttentionBits.Same(together.Run(target, QueryHeads, query, default).Output, output, KernelChoices.Name(target));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Parts_of_a_sequence_join_to_the_whole(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), Tokens);
        float[] query = stored.Query(QueryHeads, QueryTokens);
        var options = new AttentionOptions(WindowTokens: 290) { LogitCap = 5, Sinks = new float[] { 1, -1, 0, 2, 0.5f, -3 } };
        ReferenceAttention expected = ReferenceAttention.Attend(stored, query, QueryHeads, options, joins: 2);
        var draws = new SeededDraws(3);
        foreach (KernelTarget target in KernelChoices.All)
        {
            foreach ((int a, int b) in ((int, int)[])[(0, 64), (64, 320), (44, 45), (332, 333), (331, 332), (0, 0), (333, 333), .. Cuts(draws)])
            {
                (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, options with { EndToken = a });
                foreach ((int start, int? end) in ((int, int?)[])[(a, b), (b, null)])
                {
                    (float[] next, float[] nextLogSumExp) = stored.Run(target, QueryHeads, query, options with { StartToken = start, EndToken = end, Sinks = default });
                    SoftmaxState.Merge(output, logSumExp, next, nextLogSumExp);
                }

                expected.Check(output, logSumExp, $"{KernelChoices.Name(target)} cut at {a} and {b}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Workers_that_hold_parts_join_to_the_whole(string family)
    {
        // A multiple of 64 and of every block: where scales cover tiles, a part begins with one.
        const int tokens = 300;
        int cut = AttentionFamilies.Group(family).HasTail ? 192 : 170;
        using StoredCase whole = new(AttentionFamilies.Group(family), tokens), first = new(whole.Group, cut, seed: 8), second = new(whole.Group, tokens - cut, seed: 9);
        Copy(whole, 0, first);
        Copy(whole, cut, second);
        float[] query = whole.Query(QueryHeads, QueryTokens);
        foreach (AttentionOptions options in (AttentionOptions[])[default, new(WindowTokens: 200), new(WindowTokens: 20)])
        {
            ReferenceAttention expected = ReferenceAttention.Attend(whole, query, QueryHeads, options, joins: 1);
            foreach (KernelTarget target in KernelChoices.All)
            {
                int position = tokens - QueryTokens;
                (float[] output, float[] logSumExp) = first.Run(target, QueryHeads, query, options with { QueryPosition = position });
                (float[] other, float[] otherLogSumExp) = second.Run(target, QueryHeads, query, options with { QueryPosition = position - cut });
                SoftmaxState.Merge(output, logSumExp, other, otherLogSumExp);
                expected.Check(output, logSumExp, $"{KernelChoices.Name(target)}, {options}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_query_before_all_tokens_or_far_behind_them_is_no_error(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), 100);
        float[] query = stored.Query(QueryHeads, 17);
        foreach (KernelTarget target in KernelChoices.All)
        {
            AttentionBits.Same(stored.Run(target, QueryHeads, query, new AttentionOptions { QueryPosition = 100 }).Output,
                stored.Run(target, QueryHeads, query, new AttentionOptions { QueryPosition = 1_000_000 }).Output, "far behind, all tokens are seen");
            // Queries 0 to 16 stand at -17 to -1 and see nothing.
            (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, default, tokens: 0);
            Assert.All(output, o => Assert.Equal(0, o));
            Assert.All(logSumExp, l => Assert.Equal(float.NegativeInfinity, l));
            // Behind a window nothing is seen; a sink has all the weight.
            (output, logSumExp) = stored.Run(target, QueryHeads, query, new AttentionOptions(WindowTokens: 5) { QueryPosition = 104, Sinks = new float[] { 1, -1, 0, 2, 0.5f, -3 } });
            Assert.All(output, o => Assert.Equal(0, o));
            Assert.Equal([1, -1, 0, 2, 0.5f, -3], logSumExp[..QueryHeads]);
        }
    }

    [Fact]
    public void Queries_behind_the_largest_position_see_all_tokens()
    {
        // The first query stands at a position that is allowed; the others, and those of the second turn, behind what an int holds.
        using var stored = new StoredCase(AttentionFamilies.Group("bf16"), 100);
        float[] query = stored.Query(QueryHeads, 17);
        foreach (KernelTarget target in KernelChoices.Best)
        {
            AttentionBits.Same(stored.Run(target, QueryHeads, query, new AttentionOptions { QueryPosition = 100 }).Output,
                stored.Run(target, QueryHeads, query, new AttentionOptions { QueryPosition = int.MaxValue - 2 }).Output, KernelChoices.Name(target));
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_view_of_fewer_tokens_than_queries_shows_the_last_queries_what_there_is(string family)
    {
        LayerGroup group = AttentionFamilies.Group(family);
        foreach ((int tokens, int queryTokens) in ((int, int)[])[(1, 2), (1, 4), (1, 16), (5, 16), (5, 17), (3, 40)])
        {
            using var stored = new StoredCase(group, tokens);
            float[] query = stored.Query(QueryHeads, queryTokens);
            ReferenceAttention expected = ReferenceAttention.Attend(stored, query, QueryHeads, default);
            foreach (KernelTarget target in KernelChoices.Best)
            {
                (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, default);
                expected.Check(output, logSumExp, $"{KernelChoices.Name(target)}: {queryTokens} queries over {tokens} tokens");
            }
        }
    }

    static IEnumerable<(int, int)> Cuts(SeededDraws draws)
    {
        for (int i = 0; i < 6; i++)
        {
            int a = draws.Below(Tokens + 1);
            yield return (a, a + draws.Below(Tokens + 1 - a));
        }
    }

    static void Copy(StoredCase whole, int start, StoredCase part)
    {
        LayerGroup group = whole.Group;
        for (int token = 0; token < part.Tokens; token++)
        {
            for (int plane = 0; plane < group.Planes; plane++)
            {
                ScaleKind kind = plane == 0 ? group.KeyScaleKind : group.ValueScaleKind;
                for (int head = 0; head < group.KvHeads; head++)
                {
                    if (kind is ScaleKind.PerTensor or ScaleKind.PerHead)
                        part.Cache.Pools[0].SetStaticScale(StoredCase.Layer, head, (KvPlane)plane, whole.Cache.Pools[0].StaticScale(StoredCase.Layer, head, (KvPlane)plane));
                    for (int d = 0; d < group.HeadDim; d++)
                    {
                        whole.Element(head, (KvPlane)plane, start + token, d).CopyTo(part.Element(head, (KvPlane)plane, token, d));
                        if (kind >= ScaleKind.PerTokenHead && token < part.View.PackedTokens)
                            whole.Scale(head, (KvPlane)plane, start + token, d).CopyTo(part.Scale(head, (KvPlane)plane, token, d));
                    }
                }
            }
        }
    }
}
