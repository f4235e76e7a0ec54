using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Whatever does not fit is refused before anything is written, and the message names what was found and what is allowed.</summary>
public sealed class AttentionRefusalTests
{
    // 100 tokens, 4 kv heads of 64.
    [Theory]
    [InlineData(6, 2, 0, 0, 0, "queryHeads", "6 query heads", "4 kv heads")]
    [InlineData(0, 2, 0, 0, 0, "queryHeads", "0 query heads", "4 kv heads")]
    [InlineData(-4, 2, 0, 0, 0, "queryHeads", "-4 query heads", "4 kv heads")]
    [InlineData(8, 0, 0, 0, 0, "query", "0 elements", "512")]
    [InlineData(8, 2, -1, 0, 0, "query", "1023", "512")]
    [InlineData(8, 2, 0, 1, 0, "output", "1025", "1024")]
    [InlineData(8, 2, 0, -1024, 0, "output", "0", "1024")]
    [InlineData(8, 2, 0, 0, -1, "logSumExp", "15", "2 tokens of 8")]
    public void Lengths(int heads, int queryTokens, int moreQuery, int moreOutput, int moreSums, string parameter, params string[] named)
    {
        int rows = queryTokens * Math.Max(heads, 0);
        Refused(heads, new float[rows * 64 + moreQuery], new float[rows * 64 + moreOutput], new float[rows + moreSums], default, parameter, named);
    }

    [Fact]
    public void Options()
    {
        RefusedOptions(new(SoftmaxScale: float.NaN), "NaN", "1E-30 to 1E+30");
        RefusedOptions(new(SoftmaxScale: float.NegativeInfinity), $"{float.NegativeInfinity}", "1E-30 to 1E+30");
        RefusedOptions(new(SoftmaxScale: -0.5f), $"{-0.5f}", "1E-30 to 1E+30");
        RefusedOptions(new(WindowTokens: -1), "-1", "0 or more");
        RefusedOptions(new AttentionOptions { LogitCap = float.NaN }, "NaN", "1E-30 to 1E+30");
        RefusedOptions(new AttentionOptions { LogitCap = float.PositiveInfinity }, $"{float.PositiveInfinity}", "1E-30 to 1E+30");
        foreach (float outside in (float[])[float.Epsilon, 9e-31f, 1.1e30f, float.MaxValue])
        {
            RefusedOptions(new(SoftmaxScale: outside), $"{outside}", "1E-30 to 1E+30");
            RefusedOptions(new AttentionOptions { LogitCap = outside }, $"{outside}", "1E-30 to 1E+30");
        }

        RefusedOptions(new AttentionOptions { LogitCap = -1 }, "-1", "1E-30 to 1E+30");
        RefusedOptions(new AttentionOptions { Sinks = new float[7] }, "7 sinks", "8 query heads");
        RefusedOptions(new AttentionOptions { Sinks = new float[9] }, "9 sinks", "8 query heads");
        RefusedOptions(new AttentionOptions { Weights = (SoftmaxWeights)2 }, "2", "Float32", "BFloat16");
        RefusedOptions(new AttentionOptions { QueryPosition = -1 }, "-1", "0 or more");
        RefusedOptions(new(StartToken: -1), "-1..100", "100");
        RefusedOptions(new(StartToken: 101), "101..100", "100");
        RefusedOptions(new(EndToken: 101), "0..101", "100");
        RefusedOptions(new(EndToken: -1), "0..-1", "100");
        RefusedOptions(new(StartToken: 60, EndToken: 59), "60..59", "100");

        static void RefusedOptions(AttentionOptions options, params string[] named) => Refused(8, new float[512], new float[512], new float[8], options, "options", named);
    }

    [Fact]
    public void The_limits_themselves_are_allowed()
    {
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads: 4), 100);
        float[] query = stored.Query(8, 1), output = new float[512], logSumExp = new float[8];
        foreach (AttentionOptions options in (AttentionOptions[])[new(StartToken: 100), new(StartToken: 0, EndToken: 0), new(StartToken: 50, EndToken: 50), new(WindowTokens: int.MaxValue),
            new AttentionOptions { QueryPosition = 0 }, new AttentionOptions { QueryPosition = int.MaxValue }, new(SoftmaxScale: 1e-30f), new AttentionOptions { Sinks = new float[8] }])
        {
            PagedDecodeAttention.Run(stored.View, 8, query, options, output, logSumExp);
            Assert.All(output, o => Assert.True(float.IsFinite(o), $"{options}"));
        }
    }

    [Fact]
    public void Caps_and_scales_at_the_ends_of_their_range_give_no_NaN()
    {
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads: 4), 100);
        float[] query = stored.Query(8, 1);
        query.AsSpan(0, 64).Clear();
        foreach (float cap in (float[])[1e-30f, 1e30f])
        {
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = stored.Run(target, 8, query, new AttentionOptions { LogitCap = cap });
                Assert.True(output.Concat(logSumExp).All(float.IsFinite), $"cap {cap}, {KernelChoices.Name(target)}: {output[0]}, {output[64]}");
                // Below all logits it makes all weights alike, whatever the query.
                if (cap < 1) Assert.All(logSumExp, l => Assert.InRange(l, Math.Log(100) - 1e-5, Math.Log(100) + 1e-5));
                // As the scale does; the largest one leaves one token, and no weight is infinite.
                (output, logSumExp) = stored.Run(target, 8, query, new(SoftmaxScale: cap));
                Assert.True(output.Concat(logSumExp).All(float.IsFinite), $"scale {cap}, {KernelChoices.Name(target)}: {output[0]}, {output[64]}");
            }
        }
    }

    [Fact]
    public void Kinds_of_other_kernels()
    {
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads: 1) with { Kind = AttentionKind.Latent }, 10);
        string message = Assert.Throws<ArgumentException>("view", () => PagedDecodeAttention.Run(stored.View, 2, new float[128], default, new float[128], new float[2])).Message;
        Assert.All((string[])["Latent", "MlaDecodeAttention", "Full", "SlidingWindow"], name => Assert.Contains(name, message, StringComparison.Ordinal));
    }

    static void Refused(int heads, float[] query, float[] output, float[] logSumExp, AttentionOptions options, string parameter, params string[] named)
    {
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads: 4), 100);
        Array.Fill(output, 5);
        Array.Fill(logSumExp, 5);
        string message = Assert.Throws<ArgumentException>(parameter, () => PagedDecodeAttention.Run(stored.View, heads, query, options, output, logSumExp)).Message;
        Assert.All(named, name => Assert.Contains(name, message, StringComparison.Ordinal));
        Assert.All(output, o => Assert.Equal(5, o));
        Assert.All(logSumExp, l => Assert.Equal(5, l));
    }
}
