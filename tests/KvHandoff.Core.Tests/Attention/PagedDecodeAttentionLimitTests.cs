using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class PagedDecodeAttentionLimitTests
{
    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E4M3)]
    public void NaNBehindTheEndStaysThere(ElementType type)
    {
        float[] query = AttentionCase.Query(8, 64);
        using var sequence = new AttentionCase(type, 1, 64, 130);
        KvLayerView view = sequence.View;
        Span<byte> padding = view.Plane(2, KvPlane.Key).Slice(view.Geometry.Plane(KvPlane.Key).RowOffset(0, 2), view.Geometry.RowBytes);
        Assert.Equal(-1, padding.IndexOfAnyExcept((byte)0xFF));
        foreach (int bits in AttentionCase.Widths)
        {
            (float[] output, float[] logSumExp) = sequence.Run(bits, 8, query);
            Assert.All(output, o => Assert.True(float.IsFinite(o)));
            Assert.All(logSumExp, o => Assert.True(float.IsFinite(o)));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void NaNInAVisibleRowShowsInItsHeadsOnly(bool inKeys)
    {
        float[] query = AttentionCase.Query(8, 64);
        using var sequence = new AttentionCase(ElementType.BFloat16, 2, 64, 130, edit: (keys, values) => (inKeys ? keys : values)[(77 * 2 + 1) * 64 + 5] = float.NaN);
        foreach (int bits in AttentionCase.Widths)
        {
            (float[] output, float[] logSumExp) = sequence.Run(bits, 8, query);
            for (int h = 0; h < 8; h++)
            {
                Assert.Equal(h >= 4, float.IsNaN(output[h * 64 + 5]));
                Assert.Equal(h >= 4 && inKeys, float.IsNaN(logSumExp[h]));
            }
        }
    }

    [Theory]
    [InlineData(1e18f)]
    [InlineData(-1e18f)]
    public void HugeLogitsSelectTheLargest(float factor)
    {
        // Logits reach 1e37 in steps far beyond fp32's exponential: one token has all the weight, and its value comes out exactly.
        const int tokens = 300, dim = 64, heads = 4;
        var query = new float[heads * dim];
        Array.Fill(query, factor);
        using var sequence = new AttentionCase(ElementType.Float32, 1, dim, tokens, edit: (keys, _) =>
        {
            for (int t = 0; t < tokens; t++) keys.AsSpan(t * dim, dim).Fill((t * 37 % tokens - 100) * 1e16f);
        });
        int chosen = Enumerable.Range(0, tokens).MaxBy(t => (t * 37 % tokens - 100) * (double)factor);
        double expected = (chosen * 37 % tokens - 100) * 1e16 * factor * dim / Math.Sqrt(dim);
        float[] value = AttentionOracle.Decode(sequence.View, KvPlane.Value)[(chosen * dim)..((chosen + 1) * dim)];
        foreach (int bits in AttentionCase.Widths)
        {
            (float[] output, float[] logSumExp) = sequence.Run(bits, heads, query);
            for (int h = 0; h < heads; h++)
            {
                Assert.Equal(value, output[(h * dim)..((h + 1) * dim)]);
                Assert.InRange(logSumExp[h], expected - 1e-5 * Math.Abs(expected), expected + 1e-5 * Math.Abs(expected));
            }
        }
    }

    [Fact]
    public void LogitsOfMinusInfinityHaveNoWeight()
    {
        var query = new float[4 * 64];
        Array.Fill(query, 1f);
        using var all = new AttentionCase(ElementType.Float32, 1, 64, 100, edit: (keys, _) => keys.AsSpan().Fill(float.NegativeInfinity));
        using var first = new AttentionCase(ElementType.Float32, 1, 64, 100, edit: (keys, _) => keys.AsSpan(0, 70 * 64).Fill(float.NegativeInfinity));
        AttentionOracle oracle = first.Oracle(4, query, 70, 100);
        foreach (int bits in AttentionCase.Widths)
        {
            (float[] output, float[] logSumExp) = all.Run(bits, 4, query);
            Assert.All(output, o => Assert.Equal(0, o));
            Assert.All(logSumExp, o => Assert.Equal(float.NegativeInfinity, o));
            (output, logSumExp) = first.Run(bits, 4, query);
            oracle.Check(output, logSumExp, $"{bits} bits");
        }
    }

    [Fact]
    public void AStepAllocatesNothing()
    {
        float[] query = AttentionCase.Query(64, 128), output = new float[query.Length], logSumExp = new float[64];
        using var sequence = new AttentionCase(ElementType.Float16, 8, 128, 700);
        foreach (int bits in AttentionCase.Widths)
        {
            PagedDecodeAttention.Run(new KernelTarget(bits), sequence.View, 64, query, default, output, logSumExp);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 5; i++) PagedDecodeAttention.Run(new KernelTarget(bits), sequence.View, 64, query, default, output, logSumExp);
            Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        }
    }

    [Fact]
    public void SmallerStepsAfterLargerOnesReuseTheWorkspace()
    {
        float[] large = AttentionCase.Query(64, 256), small = AttentionCase.Query(4, 64);
        using var wide = new AttentionCase(ElementType.Float32, 8, 256, 100);
        using var narrow = new AttentionCase(ElementType.Float32, 4, 64, 100);
        (float[] expected, _) = narrow.Run(InstructionSet.VectorBits, 4, small);
        wide.Run(InstructionSet.VectorBits, 64, large);
        Assert.Equal(expected, narrow.Run(InstructionSet.VectorBits, 4, small).Output);
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedWithBothValues()
    {
        using var sequence = new AttentionCase(ElementType.BFloat16, 4, 64, 100);
        Refused(sequence, 8, 8 * 64, 8 * 64, 8, new(StartToken: 5, EndToken: 101), "5..101", "100");
        Refused(sequence, 8, 8 * 64, 8 * 64, 8, new(StartToken: -1), "-1..100", "100");
        Refused(sequence, 8, 8 * 64, 8 * 64, 8, new(StartToken: 60, EndToken: 59), "60..59", "100");
        Refused(sequence, 8, 8 * 64, 8 * 64, 8, new(WindowTokens: -3), "-3", "0 or more");
        Refused(sequence, 8, 8 * 64, 8 * 64, 8, new(SoftmaxScale: float.NaN), "NaN", "finite");
        Refused(sequence, 6, 6 * 64, 6 * 64, 6, default, "6 query heads", "4 kv heads");
        Refused(sequence, 0, 0, 0, 0, default, "0 query heads", "4 kv heads");
        Refused(sequence, 8, 8 * 63, 8 * 64, 8, default, "504", "512");
        Refused(sequence, 8, 8 * 64, 8 * 65, 8, default, "520", "512");
        Refused(sequence, 8, 8 * 64, 8 * 64, 7, default, "7", "8");
    }

    [Fact]
    public void KindsOfOtherKernelsAreRefused()
    {
        var model = new ModelIdentity("attention", "1", 10000);
        RefusedGroup(KvCacheLayout.Latent(model, 1, 512, 64), "Latent", "MLA");
    }

    static void RefusedGroup(KvCacheLayout layout, params string[] named)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(layout, 64);
        using KvSequence sequence = cache.CreateSequence();
        int dim = layout.Groups[0].HeadDim;
        string message = Assert.Throws<ArgumentException>(() => PagedDecodeAttention.Run(sequence.View(0), 2, new float[2 * dim], default, new float[2 * dim], new float[2])).Message;
        Assert.All(named, name => Assert.Contains(name, message, StringComparison.Ordinal));
    }

    static void Refused(AttentionCase sequence, int queryHeads, int query, int output, int logSumExp, AttentionOptions options, params string[] named)
    {
        string message = Assert.Throws<ArgumentException>(() =>
            PagedDecodeAttention.Run(sequence.View, queryHeads, new float[query], options, new float[output], new float[logSumExp])).Message;
        Assert.All(named, name => Assert.Contains(name, message, StringComparison.Ordinal));
    }
}
