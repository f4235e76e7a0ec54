using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.TorchSharp.Tests;

/// <summary>The library's decode attention against libtorch, both reading the same blocks.</summary>
public sealed class PagedDecodeAttentionTests
{
    // fp32 against fp64: outputs are averages of rows of magnitude 1, logits below 8.
    const double Tolerance = 5e-6;

    // INT8 meets a query rounded to 16 bits and weights rounded to 15: half a unit of the largest each, of any sign, some 1e-5
    // in all. The derived bound is held in the tests of Core.
    const double IntegerTolerance = 5e-5;

    public static TheoryData<string> Forms =>
        ["fp32", "fp16", "bf16", "fp8-e4m3", "fp8-e5m2", "fp8-token", "fp8-tensor", "mxfp8", "int8-channel", "int8-token", "int8-head"];

    [Theory]
    [MemberData(nameof(Forms))]
    public void Decode_equals_libtorch(string form)
    {
        foreach ((int queryHeads, int kvHeads) in ((int, int)[])[(16, 2), (4, 4), (8, 1)])
            foreach (int tokens in (int[])[1, 63, 64, 65, 300])
                Compare(CacheCase.Group(form, kvHeads, 64), queryHeads, tokens, windowTokens: 0);
    }

    [Theory]
    [InlineData(DimensionOrder.TokenMajor)]
    [InlineData(DimensionOrder.PlaneHeadMajor)]
    [InlineData(DimensionOrder.PackedKey)]
    [InlineData(DimensionOrder.TransposedKey)]
    public void Every_order_of_rows_equals_libtorch(DimensionOrder order)
    {
        Compare(CacheCase.Group("bf16", 4, 128, blockTokens: 16, order), 32, 130, windowTokens: 0);
        Compare(CacheCase.Group("fp8-token", 4, 96, blockTokens: 32, order), 8, 130, windowTokens: 0);
    }

    [Theory]
    [InlineData("bf16")]
    [InlineData("int8-channel")]
    public void Windows_equal_libtorch(string form)
    {
        foreach (int window in (int[])[1, 64, 100, 1000])
            Compare(CacheCase.Group(form, 2, 64), 8, 200, window);
        Compare(CacheCase.Group(form, 2, 64) with { Kind = AttentionKind.SlidingWindow, WindowTokens = 70 }, 8, 200, windowTokens: 0);
        Compare(CacheCase.Group(form, 2, 64) with { Kind = AttentionKind.SlidingWindow, WindowTokens = 70 }, 8, 200, windowTokens: 33);
    }

    [Fact]
    public void A_given_scale_equals_libtorch() => Compare(CacheCase.Group("bf16", 2, 64), 8, 150, windowTokens: 0, scale: 0.3f);

    private static void Compare(LayerGroup group, int queryHeads, int tokens, int windowTokens, float scale = 0)
    {
        using CacheCase sequence = new CacheCase(group, tokens).Fill(tokens);
        float[] query = Numbers.Normal(7, queryHeads, group.HeadDim);
        float[] output = new float[query.Length], reference = new float[query.Length];
        float[] logSumExp = new float[queryHeads], referenceSums = new float[queryHeads];
        PagedDecodeAttention.Run(sequence.View, queryHeads, query, new(SoftmaxScale: scale, WindowTokens: windowTokens), output, logSumExp);
        TorchAttentionReference.Attend(sequence.View, queryHeads, query, new(scale, windowTokens) { DoublePrecision = true }, reference, referenceSums);
        string what = $"{group}, {queryHeads} query heads, {tokens} tokens, window {windowTokens}";
        double tolerance = group.ElementType == ElementType.Int8 ? IntegerTolerance : Tolerance;
        Numbers.Near(Numbers.Widen(reference), Numbers.Widen(output), tolerance, what);
        Numbers.Near(Numbers.Widen(referenceSums), Numbers.Widen(logSumExp), tolerance, what);
    }
}
