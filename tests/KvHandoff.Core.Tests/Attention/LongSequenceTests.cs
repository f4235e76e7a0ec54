using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Sequences of so many tokens that parts are longer than the shortest, up to two million.</summary>
public sealed class LongSequenceTests
{
    const double U = 1.0 / (1 << 24);

    [Theory]
    [InlineData("bf16", DimensionOrder.HeadMajor)]
    [InlineData("fp8", DimensionOrder.TokenMajor)]
    [InlineData("int8", DimensionOrder.HeadMajor)]
    [InlineData("fp32", DimensionOrder.TransposedKey)]
    public void Seventy_thousand_tokens_agree(string family, DimensionOrder order)
    {
        const int tokens = 70_000, queryHeads = 4;
        LayerGroup group = AttentionFamilies.Group(family) with { KvHeads = 1, HeadDim = 32, BlockTokens = 64, Order = order };
        using var stored = new StoredCase(group, tokens);
        float[] query = stored.Query(queryHeads, 2);
        var threads = new AttentionThreads(3);
        foreach (AttentionOptions options in (AttentionOptions[])[default, new(WindowTokens: 40_001)])
        {
            ReferenceAttention expected = ReferenceAttention.Attend(stored, query, queryHeads, options);
            double largest = expected.Output.Max(Math.Abs);
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = stored.Run(target, queryHeads, query, options);
                string what = $"{KernelChoices.Name(target)}, {options}";
                expected.Check(output, logSumExp, what);
                // What SoftmaxWeights.Float32 promises.
                if (family != "int8") Assert.All(output.Select((o, i) => Math.Abs(o - expected.Output[i])), error => Assert.InRange(error, 0, 1e-5 * largest));

                var batch = new DecodeAttentionBatch();
                batch.Add(stored.Sequence, tokens, 2);
                float[] other = new float[output.Length], otherLogSumExp = new float[logSumExp.Length];
                batch.Run(target, StoredCase.Layer, queryHeads, latentDim: 0, query, options, other, otherLogSumExp, threads);
                AttentionBits.Same(output, other, what);
                AttentionBits.Same(logSumExp, otherLogSumExp, what);
            }
        }
    }

    /// <remarks>
    /// Five blocks, again and again in one table: the sums are those of the five, times how often each comes up, and the bound is that
    /// of <see cref="ReferenceAttention"/> with chains as long as a part, two million tokens in 64 parts.
    /// </remarks>
    [Fact]
    public void Two_million_tokens_agree()
    {
        const int blocks = 31_250, distinct = 5, dim = 8, heads = 2, tokens = blocks * 64 - 37;
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads: 1, dim: dim), distinct * 64, shuffle: 0);
        KvSequence sequence = stored.Cache.CreateSequence();
        SlotHandle[] own = [.. stored.Sequence.Table(0).Slots];
        var draws = new SeededDraws(1);
        int[] chosen = [.. Enumerable.Range(0, blocks).Select(_ => draws.Below(distinct))];
        sequence.Table(0).Add([.. chosen.Select(block => own[block])]);
        sequence.Advance(tokens);
        var times = new double[distinct * 64];
        for (int t = 0; t < tokens; t++) times[chosen[t / 64] * 64 + t % 64]++;

        float[] query = stored.Query(heads, 1), output = new float[query.Length], logSumExp = new float[heads];
        foreach (KernelTarget target in KernelChoices.All)
        {
            PagedDecodeAttention.Run(target, sequence.View(StoredCase.Layer), heads, query, default, output, logSumExp);
            for (int head = 0; head < heads; head++) Check(stored, query.AsSpan(head * dim, dim), times, tokens, output.AsSpan(head * dim, dim), logSumExp[head], KernelChoices.Name(target));
        }

        PagedDecodeAttention.Run(sequence.View(StoredCase.Layer), heads, query, default, output, logSumExp);
        float[] first = [.. output];
        var batch = new DecodeAttentionBatch();
        batch.Add(sequence, tokens);
        batch.Run(StoredCase.Layer, heads, query, default, output, logSumExp, new AttentionThreads(2));
        AttentionBits.Same(first, output, "batch");
        // The blocks belong to the other sequence.
        sequence.Table(0).Clear();
        sequence.Dispose();
    }

    static void Check(StoredCase stored, ReadOnlySpan<float> query, double[] times, int tokens, ReadOnlySpan<float> output, float logSumExp, string what)
    {
        int dim = query.Length;
        double scale = 1 / Math.Sqrt(dim), sum = 0, off = 0;
        double[] weighted = new double[dim], magnitudes = new double[dim], logits = new double[times.Length];
        for (int t = 0; t < times.Length; t++)
        {
            double terms = 0;
            for (int d = 0; d < dim; d++)
            {
                logits[t] += query[d] * stored.Keys[t * dim + d] * scale;
                terms += Math.Abs(query[d] * stored.Keys[t * dim + d]) * scale;
            }

            off = Math.Max(off, (dim + 12 + 12) * U * terms);
        }

        double largest = logits.Max();
        for (int t = 0; t < times.Length; t++)
        {
            double p = times[t] * Math.Exp(logits[t] - largest);
            sum += p;
            for (int d = 0; d < dim; d++)
            {
                weighted[d] += p * stored.Values[t * dim + d];
                magnitudes[d] += p * Math.Abs(stored.Values[t * dim + d]);
            }
        }

        int part = (tokens / (512 * 64) + 1) * 512;
        double relative = Math.Exp(off) - 1 + (4 + part + 4 * (part / 64 + 2) + 4 * 66 + 12) * U;
        for (int d = 0; d < dim; d++)
        {
            double expected = weighted[d] / sum, bound = (relative * magnitudes[d] / sum + relative * Math.Abs(expected)) / (1 - relative);
            Assert.True(Math.Abs(output[d] - expected) <= bound, $"{what}: output[{d}] is {output[d]}; expected {expected} +- {bound}.");
        }

        double exact = largest + Math.Log(sum);
        Assert.True(Math.Abs(logSumExp - exact) <= relative / (1 - relative) + 2 * U * exact, $"{what}: log-sum-exp is {logSumExp}; expected {exact}.");
    }
}
