using KvHandoff.Layout;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp.Tests;

/// <summary>Every form of the reference against plain loops.</summary>
public sealed class TorchAttentionReferenceTests
{
    const double SingleTolerance = 5e-6, DoubleTolerance = 1e-12;

    public static TheoryData<int, int> Heads => new() { { 8, 8 }, { 16, 4 }, { 6, 1 } };

    [Theory]
    [MemberData(nameof(Heads))]
    public void Decode(int queryHeads, int kvHeads)
    {
        foreach (int tokens in (int[])[1, 2, 77, 500])
            Compare(queryHeads, kvHeads, queryTokens: 1, tokens, default);
    }

    [Theory]
    [MemberData(nameof(Heads))]
    public void Causal_prefill(int queryHeads, int kvHeads)
    {
        // The whole prompt, and a chunk behind a past.
        Compare(queryHeads, kvHeads, queryTokens: 40, tokens: 40, default);
        Compare(queryHeads, kvHeads, queryTokens: 13, tokens: 90, default);
    }

    [Fact]
    public void Windows()
    {
        foreach (int window in (int[])[1, 5, 64, 1000])
        {
            Compare(8, 2, queryTokens: 1, tokens: 100, new(WindowTokens: window));
            Compare(8, 2, queryTokens: 30, tokens: 100, new(WindowTokens: window));
        }
    }

    [Fact]
    public void Scale_cap_and_sinks()
    {
        float[] sinks = [-3, 0, 1.5f, 4, 2, -1, 0.5f, 6];
        foreach (TorchAttentionOptions options in (TorchAttentionOptions[])[new(0.4), new() { LogitCap = 2 }, new(0.3) { Sinks = sinks }, new(0.3, 20) { LogitCap = 1.5, Sinks = sinks }])
        {
            Compare(8, 2, queryTokens: 1, tokens: 100, options);
            Compare(8, 2, queryTokens: 25, tokens: 60, options);
        }
    }

    [Fact]
    public void Latent_decode()
    {
        const int Heads = 16, Row = 576, ValueDim = 512, Tokens = 70;
        double scale = 1 / Math.Sqrt(192);
        float[] query = Numbers.Normal(1, Heads, Row), latent = Numbers.Normal(2, Tokens, Row);
        (double[] output, double[] sums) = new PlainAttention(Heads, 1, Row, ValueDim, scale).Attend(query, latent, latent, Row);
        foreach (bool wide in (bool[])[false, true])
        {
            using var scope = NewDisposeScope();
            var options = new TorchAttentionOptions(scale) { DoublePrecision = wide };
            (Tensor actual, Tensor actualSums) = TorchAttentionReference.DecodeLatent(Numbers.Shaped(query, Heads, Row), Numbers.Shaped(latent, Tokens, Row), options);
            Check(output, sums, actual, actualSums, wide, "latent");
            Assert.Equal([Heads, ValueDim], actual.shape);
        }
    }

    [Fact]
    public void Latent_cache()
    {
        const int Heads = 8, Row = 96, ValueDim = 64, Tokens = 100, QueryTokens = 3;
        LayerGroup group = CacheCase.Group("fp32", 1, Row) with { Kind = AttentionKind.Latent };
        using var sequence = new CacheCase(group, Tokens);
        float[] latent = Numbers.Normal(3, Tokens, Row), query = Numbers.Normal(4, Heads, QueryTokens, Row);
        sequence.Sequence.WriteRows(0, 0, latent, default);
        sequence.Sequence.Advance(Tokens);
        (double[] expected, double[] expectedSums) = new PlainAttention(Heads, 1, Row, ValueDim, 0.1).Attend(query, latent, latent, Row);

        // The cache's form has tokens before heads.
        float[] output = new float[QueryTokens * Heads * ValueDim], sums = new float[QueryTokens * Heads];
        TorchAttentionReference.Attend(sequence.View, Heads, Swap(query, Heads, QueryTokens, Row), new(0.1), output, sums, ValueDim);
        Numbers.Near(expected, Numbers.Widen(Swap(output, QueryTokens, Heads, ValueDim)), SingleTolerance, "output");
        Numbers.Near(expectedSums, Numbers.Widen(Swap(sums, QueryTokens, Heads, 1)), SingleTolerance, "log-sum-exp");
    }

    [Fact]
    public void Results_outlive_the_scopes_inside_and_belong_to_the_one_outside()
    {
        Tensor kept, given;
        using (var scope = NewDisposeScope())
        {
            Tensor rows = ones(2, 3, 4);
            (kept, given) = TorchAttentionReference.Decode(ones(2, 4), rows, rows);
            kept.DetachFromDisposeScope();
            Assert.Equal(1.0, Numbers.Doubles(kept)[0], 6);
            Assert.False(given.IsInvalid);
        }

        Assert.False(kept.IsInvalid);
        Assert.True(given.IsInvalid);
        kept.Dispose();
    }

    [Fact]
    public void Shapes_and_options_that_do_not_fit_are_named()
    {
        using var scope = NewDisposeScope();
        Tensor query = ones(6, 8), rows = ones(4, 5, 8);
        Refuses("6 query heads are not a positive multiple of 4", () => TorchAttentionReference.Decode(query, rows, rows));
        Refuses("A query row has 8 elements and a key row 7", () => TorchAttentionReference.Decode(ones(4, 8), ones(4, 5, 7), rows));
        Refuses("3 dimensions; it should have 2", () => TorchAttentionReference.Decode(rows, rows, rows));
        Refuses("6 query tokens cannot be the last of 5", () => TorchAttentionReference.Prefill(ones(4, 6, 8), rows, rows));
        Refuses("Values are of 4 heads and 6 tokens, keys of 4 and 5", () => TorchAttentionReference.Decode(ones(4, 8), rows, ones(4, 6, 8)));
        Refuses("The softmax scale is -1", () => TorchAttentionReference.Decode(ones(4, 8), rows, rows, new(-1)));
        Refuses("The softmax scale is 0", () => TorchAttentionReference.DecodeLatent(ones(4, 8), ones(5, 8), default, 4));
        Refuses("The value is 9 of 8 elements", () => TorchAttentionReference.DecodeLatent(ones(4, 8), ones(5, 8), new(1), 9));
        Refuses("The window is -2 tokens", () => TorchAttentionReference.Decode(ones(4, 8), rows, rows, new(WindowTokens: -2)));
        Refuses("There are 3 sinks for 4 query heads", () => TorchAttentionReference.Decode(ones(4, 8), rows, rows, new() { Sinks = new float[3] }));
        Refuses("The logit cap is NaN", () => TorchAttentionReference.Decode(ones(4, 8), rows, rows, new() { LogitCap = double.NaN }));
    }

    private static void Refuses(string text, Action call) => Assert.Contains(text, Assert.Throws<ArgumentException>(call).Message);

    private static void Compare(int queryHeads, int kvHeads, int queryTokens, int tokens, TorchAttentionOptions options)
    {
        const int Dim = 32, ValueDim = 24;
        float[] query = Numbers.Normal(1, queryHeads, queryTokens, Dim), keys = Numbers.Normal(2, kvHeads, tokens, Dim), values = Numbers.Normal(3, kvHeads, tokens, ValueDim);
        var plain = new PlainAttention(queryHeads, kvHeads, Dim, ValueDim, options.SoftmaxScale != 0 ? options.SoftmaxScale : 1 / Math.Sqrt(Dim))
        {
            Cap = options.LogitCap,
            Sinks = options.Sinks.IsEmpty ? null : options.Sinks.ToArray(),
            WindowTokens = options.WindowTokens == 0 ? int.MaxValue : options.WindowTokens,
        };
        (double[] output, double[] sums) = plain.Attend(query, keys, values, ValueDim);
        foreach (bool wide in (bool[])[false, true])
        {
            using var scope = NewDisposeScope();
            Tensor k = Numbers.Shaped(keys, kvHeads, tokens, Dim), v = Numbers.Shaped(values, kvHeads, tokens, ValueDim);
            (Tensor actual, Tensor actualSums) = queryTokens == 1
                ? TorchAttentionReference.Decode(Numbers.Shaped(query, queryHeads, Dim), k, v, options with { DoublePrecision = wide })
                : TorchAttentionReference.Prefill(Numbers.Shaped(query, queryHeads, queryTokens, Dim), k, v, options with { DoublePrecision = wide });
            Check(output, sums, actual, actualSums, wide, $"{queryHeads}/{kvHeads} heads, {queryTokens} of {tokens} tokens, {options}");
        }
    }

    private static void Check(double[] output, double[] sums, Tensor actual, Tensor actualSums, bool wide, string what)
    {
        Assert.Equal(wide ? ScalarType.Float64 : ScalarType.Float32, actual.dtype);
        Numbers.Near(output, Numbers.Doubles(actual), wide ? DoubleTolerance : SingleTolerance, what);
        Numbers.Near(sums, Numbers.Doubles(actualSums), wide ? DoubleTolerance : SingleTolerance, what);
    }

    // [a][b][width] to [b][a][width].
    private static float[] Swap(float[] numbers, int a, int b, int width)
    {
        var swapped = new float[numbers.Length];
        for (int i = 0; i < a * b; i++) numbers.AsSpan(i * width, width).CopyTo(swapped.AsSpan((i % b * a + i / b) * width));
        return swapped;
    }
}
