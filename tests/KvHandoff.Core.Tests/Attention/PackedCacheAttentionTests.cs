using KvHandoff.Attention;
using KvHandoff.Core.Tests.Layout;
using KvHandoff.Layout;

namespace KvHandoff.Tests.Attention;

/// <summary>Attention over packed blocks and a tail, against the same attention over the unpacked numbers.</summary>
public sealed class PackedCacheAttentionTests
{
    public static TheoryData<string> Names => PackedCase.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void Equals_attention_over_the_unpacked_rows(string name)
    {
        foreach ((int tokens, int blockTokens, DimensionOrder order) in ((int, int, DimensionOrder)[])[(150, 64, DimensionOrder.HeadMajor), (64, 16, DimensionOrder.TokenMajor), (33, 32, DimensionOrder.PackedKey), (200, 128, DimensionOrder.TransposedKey)])
            Compare(PackedCase.Group(name, blockTokens, order), tokens, default);
    }

    [Theory]
    [InlineData(DimensionOrder.PackedKey)]
    [InlineData(DimensionOrder.TransposedKey)]
    [InlineData(DimensionOrder.PlaneHeadMajor)]
    public void Reads_plain_rows_of_every_order(DimensionOrder order)
    {
        Compare(PackedCase.Group("bf16", 16, order), 77, default);
        Compare(PackedCase.Group("fp32", 24, order), 77, default);
    }

    [Fact]
    public void Windows_and_parts_may_begin_in_a_tile()
    {
        Compare(PackedCase.Group("int8"), 200, new AttentionOptions { WindowTokens = 90 });
        Compare(PackedCase.Group("int8", 16), 200, new AttentionOptions { StartToken = 37, EndToken = 131 });
        Compare(PackedCase.Group("fp8", 128), 200, new AttentionOptions { StartToken = 195 });
    }

    private static void Compare(LayerGroup group, int tokens, AttentionOptions options)
    {
        const int queryHeads = 9;
        using PagedKvCache packed = PackedCase.Cache(group, 256), plain = PackedCase.Cache(PackedCase.Group("fp32"), 256);
        using KvSequence sequence = PackedCase.Fill(packed, tokens, 21), unpacked = plain.CreateSequence();
        Assert.True(unpacked.TryReserve(tokens));
        float[] keys = Rows(sequence, KvPlane.Key), values = Rows(sequence, KvPlane.Value);
        unpacked.WriteRows(1, 0, keys, values);
        unpacked.Advance(tokens);

        float[] query = PackedCase.Rows(group, queryHeads / group.KvHeads, 31), expected = new float[query.Length], actual = new float[query.Length];
        float[] expectedSum = new float[queryHeads], actualSum = new float[queryHeads];
        PagedDecodeAttention.Run(unpacked.View(1), queryHeads, query, options, expected, expectedSum);
        foreach (int bits in (int[])[0, 128, 256, 512])
        {
            if (bits > KvHandoff.Numerics.InstructionSet.VectorBits) continue;
            PagedDecodeAttention.Run(new KernelTarget(bits), sequence.View(1), queryHeads, query, options, actual, actualSum);
            for (int i = 0; i < query.Length; i++) Assert.Equal(expected[i], actual[i], 2e-5f);
            for (int h = 0; h < queryHeads; h++) Assert.Equal(expectedSum[h], actualSum[h], 2e-5f);
        }
    }

    private static float[] Rows(KvSequence sequence, KvPlane plane)
    {
        LayerGroup group = sequence.Cache.Layout.Groups[0];
        var rows = new float[sequence.Tokens * group.KvHeads * group.HeadDim];
        for (int head = 0; head < group.KvHeads; head++)
        {
            float[] one = PackedCase.Unpack(sequence, 1, head, plane);
            for (int t = 0; t < sequence.Tokens; t++)
                one.AsSpan(t * group.HeadDim, group.HeadDim).CopyTo(rows.AsSpan((t * group.KvHeads + head) * group.HeadDim));
        }

        return rows;
    }
}
