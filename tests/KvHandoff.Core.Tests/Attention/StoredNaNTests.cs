using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>
/// What is not a number makes exactly the query heads that see it NaN; what nobody sees stays where it is. (Free blocks, the slots behind
/// the last token and their scales are NaNs in every <see cref="StoredCase"/>.)
/// </summary>
public sealed class StoredNaNTests
{
    const int Tokens = 150, QueryHeads = 6, QueryTokens = 3;

    // A first token, one inside a tile and a block, one beside an edge, one of the tail where there is one. All queries see them.
    static readonly int[] Places = [0, 37, 64, 127, 140, Tokens - QueryTokens];

    public static TheoryData<string> Families => AttentionFamilies.Names;

    [Theory]
    [MemberData(nameof(Families))]
    public void A_visible_element_shows_in_the_heads_that_share_it(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), Tokens);
        for (int i = 0; i < Places.Length; i++)
        {
            foreach (KvPlane plane in Enum.GetValues<KvPlane>())
            {
                int d = (37 * (i + 1)) % stored.Group.HeadDim;
                // Integers have no NaN of their own; BF16 rows of a tail have.
                if (stored.Group.ElementType == ElementType.Int8 && Places[i] < stored.View.PackedTokens) continue;
                Poison(stored, plane, stored.Element(1, plane, Places[i], d), d, $"{plane} of token {Places[i]}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_visible_scale_shows_in_the_heads_that_share_it(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), Tokens);
        foreach (int token in Places)
        {
            foreach (KvPlane plane in Enum.GetValues<KvPlane>())
            {
                if (!stored.Group.HasTail || token >= stored.View.PackedTokens) continue;
                int d = token % stored.Group.HeadDim;
                Poison(stored, plane, stored.Scale(1, plane, token, d), d, $"scale of {plane} of token {token}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_query_shows_in_its_own_head(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), Tokens);
        float[] query = stored.Query(QueryHeads, QueryTokens), poisoned = [.. query];
        const int row = QueryHeads + 2;
        poisoned[row * stored.Group.HeadDim + 3] = float.NaN;
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, default);
            (float[] other, float[] otherLogSumExp) = stored.Run(target, QueryHeads, poisoned, default);
            int dim = stored.Group.HeadDim;
            output.AsSpan(row * dim, dim).Fill(float.NaN);
            logSumExp[row] = float.NaN;
            AttentionBits.Same(output, other, KernelChoices.Name(target));
            AttentionBits.Same(logSumExp, otherLogSumExp, KernelChoices.Name(target));
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_sequence_of_NaN_logits_is_NaN(string family)
    {
        // No finite logit beside them: what is masked and padded counts as minus infinity.
        LayerGroup group = AttentionFamilies.Group(family);
        foreach ((int tokens, int seen) in ((int, int)[])[(1, 1), (2, 1), (9, 1), (20, 3), (70, 1), (130, 1), (130, 130)])
        {
            using var stored = new StoredCase(group, tokens);
            float[] query = stored.Query(QueryHeads, 1);
            query[3] = float.NaN;
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, new(WindowTokens: seen));
                Assert.All(output[..group.HeadDim], o => Assert.True(float.IsNaN(o), $"{KernelChoices.Name(target)}: {seen} of {tokens} tokens, output {o}"));
                Assert.True(float.IsNaN(logSumExp[0]), $"{KernelChoices.Name(target)}: {seen} of {tokens} tokens, log-sum-exp {logSumExp[0]}");
                Assert.All(output[group.HeadDim..], o => Assert.True(float.IsFinite(o)));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_key_that_only_a_later_query_sees_does_not_reach_an_earlier_one(string family)
    {
        using var stored = new StoredCase(AttentionFamilies.Group(family), Tokens);
        LayerGroup group = stored.Group;
        float[] query = stored.Query(QueryHeads, QueryTokens);
        // The last query's own token, and one that the windows of the other queries but the first have left behind.
        foreach ((int token, int window, int seenBy) in ((int, int, int)[])[(Tokens - 1, 0, QueryTokens - 1), (Tokens - QueryTokens - 29, 30, 0)])
        {
            if (group.ElementType == ElementType.Int8 && token < stored.View.PackedTokens) continue;
            var options = new AttentionOptions(WindowTokens: window);
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, options);
                Span<byte> element = stored.Element(1, KvPlane.Key, token, 3);
                byte[] before = element.ToArray();
                element.Fill(0xFF);
                (float[] other, float[] otherLogSumExp) = stored.Run(target, QueryHeads, query, options);
                before.CopyTo(element);
                string what = $"{KernelChoices.Name(target)}: key of token {token}, window {window}";
                for (int row = 0; row < QueryTokens * QueryHeads; row++)
                {
                    if (row / QueryHeads == seenBy && row % QueryHeads >= QueryHeads / 2)
                    {
                        Assert.True(float.IsNaN(other[row * group.HeadDim + 3]), what);
                        continue;
                    }

                    AttentionBits.Same(output.AsSpan(row * group.HeadDim, group.HeadDim), other.AsSpan(row * group.HeadDim, group.HeadDim), $"{what}, row {row}");
                    AttentionBits.Same([logSumExp[row]], [otherLogSumExp[row]], $"{what}, row {row}");
                }
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E5M2)]
    public void Infinite_elements_act_as_infinities(ElementType type)
    {
        byte[] infinity = type switch
        {
            ElementType.Float32 => BitConverter.GetBytes(float.PositiveInfinity),
            ElementType.Float16 => BitConverter.GetBytes(Half.PositiveInfinity),
            ElementType.BFloat16 => [0x80, 0x7F],
            _ => [0x7C],
        };
        byte[] minus = [.. infinity[..^1], (byte)(infinity[^1] | 0x80)];
        using StoredCase stored = new(StoredForms.Plain(type), Tokens), masked = new(StoredForms.Plain(type), Tokens);
        float[] query = [.. stored.Query(QueryHeads, QueryTokens).Select(q => Math.Abs(q) + 0.1f)];
        // Keys of minus infinity have no weight, as if a window hid them; with all of them nothing is seen, and a sink is all there is.
        for (int token = 0; token < 100; token++) for (int head = 0; head < 2; head++) minus.CopyTo(masked.Element(head, KvPlane.Key, token, 5));
        var sinks = new AttentionOptions { Sinks = new float[] { 1, -1, 0, 2, 0.5f, -3 } };
        ReferenceAttention expected = ReferenceAttention.Attend(stored, query, QueryHeads, sinks with { StartToken = 100 });
        foreach (KernelTarget target in KernelChoices.All)
        {
            string what = KernelChoices.Name(target);
            (float[] output, float[] logSumExp) = masked.Run(target, QueryHeads, query, sinks);
            expected.Check(output, logSumExp, what);
            (output, logSumExp) = masked.Run(target, QueryHeads, query, sinks with { EndToken = 100 });
            Assert.All(output, o => Assert.Equal(0, o));
            Assert.Equal(sinks.Sinks.ToArray(), logSumExp[..QueryHeads]);
            (output, logSumExp) = masked.Run(target, QueryHeads, query, new(EndToken: 100));
            Assert.All(output, o => Assert.Equal(0, o));
            Assert.All(logSumExp, l => Assert.Equal(float.NegativeInfinity, l));

            // A cap makes plain numbers of them.
            (output, logSumExp) = masked.Run(target, QueryHeads, query, new AttentionOptions(EndToken: 1) { LogitCap = 2 });
            for (int row = 0; row < QueryTokens * QueryHeads; row++) Assert.InRange(logSumExp[row], -2 - 1e-6, -2 + 1e-6);

            // A value of infinity is one in its column; the other columns, and the other kv head, keep their bits.
            (output, logSumExp) = stored.Run(target, QueryHeads, query, default);
            Span<byte> element = stored.Element(1, KvPlane.Value, 77, 9);
            byte[] before = element.ToArray();
            infinity.CopyTo(element);
            (float[] other, float[] otherLogSumExp) = stored.Run(target, QueryHeads, query, default);
            before.CopyTo(element);
            for (int row = 0; row < QueryTokens * QueryHeads; row++)
                if (row % QueryHeads >= QueryHeads / 2) output[row * 64 + 9] = float.PositiveInfinity;
            AttentionBits.Same(output, other, what);
            AttentionBits.Same(logSumExp, otherLogSumExp, what);
        }
    }

    // Kv head 1 of 2: query heads 3 to 5 of each token.
    static void Poison(StoredCase stored, KvPlane plane, Span<byte> bytes, int d, string what)
    {
        float[] query = stored.Query(QueryHeads, QueryTokens);
        int dim = stored.Group.HeadDim;
        byte[] before = bytes.ToArray();
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] output, float[] logSumExp) = stored.Run(target, QueryHeads, query, default);
            bytes.Fill(0xFF);
            (float[] other, float[] otherLogSumExp) = stored.Run(target, QueryHeads, query, default);
            before.CopyTo(bytes);
            string name = $"{KernelChoices.Name(target)}: {what}";
            for (int row = 0; row < QueryTokens * QueryHeads; row++)
            {
                Span<float> actual = other.AsSpan(row * dim, dim), expected = output.AsSpan(row * dim, dim);
                if (row % QueryHeads < QueryHeads / 2)
                {
                    AttentionBits.Same(expected, actual, $"{name}, row {row}");
                    AttentionBits.Same([logSumExp[row]], [otherLogSumExp[row]], $"{name}, row {row}");
                    continue;
                }

                Assert.True(float.IsNaN(actual[d]), $"{name}: row {row} is {actual[d]}");
                if (plane == KvPlane.Value)
                {
                    AttentionBits.Same([logSumExp[row]], [otherLogSumExp[row]], $"{name}, row {row}");
                    continue;
                }

                Assert.True(float.IsNaN(otherLogSumExp[row]), $"{name}: log-sum-exp of row {row} is {otherLogSumExp[row]}");
                foreach (float element in actual) Assert.True(float.IsNaN(element), $"{name}: row {row} has {element}");
            }
        }
    }
}
