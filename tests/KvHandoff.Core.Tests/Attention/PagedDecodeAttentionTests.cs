using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class PagedDecodeAttentionTests
{
    static readonly int[] Dims = [64, 80, 96, 128, 192, 256];
    static readonly int[] BlockSizes = [16, 64, 100];
    static readonly DimensionOrder[] Orders = [DimensionOrder.HeadMajor, DimensionOrder.TokenMajor];

    public static TheoryData<ElementType, int, int> TypesAndHeads()
    {
        var data = new TheoryData<ElementType, int, int>();
        foreach (ElementType type in new[] { ElementType.Float32, ElementType.Float16, ElementType.BFloat16 })
            foreach ((int queryHeads, int kvHeads) in new[] { (64, 8), (8, 4), (8, 1), (4, 4) }) data.Add(type, queryHeads, kvHeads);
        return data;
    }

    [Theory]
    [MemberData(nameof(TypesAndHeads))]
    public void MatchesSoftmaxInDouble(ElementType type, int queryHeads, int kvHeads)
    {
        for (int i = 0; i < Dims.Length; i++)
        {
            int dim = Dims[i];
            float[] query = AttentionCase.Query(queryHeads, dim);
            // Each block size with every other dimension: SampledAttentionTests draws from all combinations.
            foreach (int block in BlockSizes.Where((_, b) => (b + i + kvHeads) % BlockSizes.Length == 0))
            {
                foreach (int tokens in new[] { 0, 1, block - 1, block + 1, 3 * block + 7 })
                {
                    AttentionOracle? oracle = null;
                    foreach (DimensionOrder order in Orders)
                    {
                        using var sequence = new AttentionCase(type, kvHeads, dim, tokens, block, order);
                        // The content does not depend on the order of rows, so one oracle serves both orders.
                        oracle ??= sequence.Oracle(queryHeads, query, 0, tokens);
                        foreach (int bits in AttentionCase.Widths)
                        {
                            (float[] output, float[] logSumExp) = sequence.Run(bits, queryHeads, query);
                            oracle.Check(output, logSumExp, $"{type} {queryHeads}/{kvHeads} d{dim} block {block} tokens {tokens} {order} {bits} bits");
                        }
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(3, 1, 64)]
    [InlineData(5, 1, 72)]
    [InlineData(12, 2, 20)]
    [InlineData(7, 1, 18)]
    [InlineData(16, 1, 8)]
    [InlineData(18, 2, 4)]
    [InlineData(1, 1, 1)]
    public void UnevenGroupsAndDimensionsMatch(int queryHeads, int kvHeads, int dim)
    {
        float[] query = AttentionCase.Query(queryHeads, dim);
        foreach (ElementType type in new[] { ElementType.Float32, ElementType.Float16, ElementType.BFloat16, ElementType.Fp8E4M3 })
        {
            foreach (DimensionOrder order in Orders)
            {
                using var sequence = new AttentionCase(type, kvHeads, dim, 333, 100, order);
                AttentionOracle oracle = sequence.Oracle(queryHeads, query, 0, 333);
                foreach (int bits in AttentionCase.Widths)
                {
                    (float[] output, float[] logSumExp) = sequence.Run(bits, queryHeads, query);
                    oracle.Check(output, logSumExp, $"{type} {order} {bits} bits");
                }
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WindowHidesOlderTokens(bool ofTheGroup)
    {
        const int tokens = 500, queryHeads = 8, kvHeads = 2, dim = 64;
        float[] query = AttentionCase.Query(queryHeads, dim);
        foreach (DimensionOrder order in Orders)
        {
            foreach (int block in BlockSizes)
            {
                foreach (int window in new[] { 1, 7, 64, 100, 300, 499, 500, 5000 })
                {
                    // Behind the window every row is NaN: one that is read shows.
                    using var sequence = new AttentionCase(ElementType.BFloat16, kvHeads, dim, tokens, block, order, ofTheGroup ? window : 0, edit: (keys, values) =>
                    {
                        int hidden = Math.Max(0, tokens - window) * kvHeads * dim;
                        keys.AsSpan(0, hidden).Fill(float.NaN);
                        values.AsSpan(0, hidden).Fill(float.NaN);
                    });
                    AttentionOracle oracle = sequence.Oracle(queryHeads, query, Math.Max(0, tokens - window), tokens);
                    var options = new AttentionOptions(WindowTokens: ofTheGroup ? 0 : window);
                    foreach (int bits in AttentionCase.Widths)
                    {
                        (float[] output, float[] logSumExp) = sequence.Run(bits, queryHeads, query, options);
                        oracle.Check(output, logSumExp, $"window {window} block {block} {order} {bits} bits");
                    }
                }
            }
        }
    }

    [Fact]
    public void TheSmallerOfTwoWindowsHolds()
    {
        float[] query = AttentionCase.Query(4, 64);
        using var sequence = new AttentionCase(ElementType.Float32, 4, 64, 200, windowTokens: 100);
        sequence.Oracle(4, query, 170, 200).Check(sequence.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 30)).Output, [], "30 of 100");
        sequence.Oracle(4, query, 100, 200).Check(sequence.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 150)).Output, [], "150 of 100");
    }

    [Fact]
    public void TheScaleOfTheCallerHolds()
    {
        float[] query = AttentionCase.Query(8, 64);
        using var sequence = new AttentionCase(ElementType.BFloat16, 2, 64, 150);
        AttentionOracle oracle = sequence.Oracle(8, query, 0, 150, scale: 0.5f);
        foreach (int bits in AttentionCase.Widths)
        {
            (float[] output, float[] logSumExp) = sequence.Run(bits, 8, query, new(SoftmaxScale: 0.5f));
            oracle.Check(output, logSumExp, $"{bits} bits");
        }
    }

    [Fact]
    public void WhereBlocksLieDoesNotChangeABit()
    {
        float[] query = AttentionCase.Query(16, 128);
        foreach (DimensionOrder order in Orders)
        {
            using var straight = new AttentionCase(ElementType.BFloat16, 4, 128, 1000, order: order, shuffleBlocks: false);
            using var shuffled = new AttentionCase(ElementType.BFloat16, 4, 128, 1000, order: order, shuffleBlocks: true);
            foreach (int bits in AttentionCase.Widths)
            {
                (float[] output, float[] logSumExp) = straight.Run(bits, 16, query);
                (float[] otherOutput, float[] otherLogSumExp) = shuffled.Run(bits, 16, query);
                Assert.Equal(output.Select(BitConverter.SingleToInt32Bits), otherOutput.Select(BitConverter.SingleToInt32Bits));
                Assert.Equal(logSumExp.Select(BitConverter.SingleToInt32Bits), otherLogSumExp.Select(BitConverter.SingleToInt32Bits));
            }
        }
    }

    [Fact]
    public void TheOrderOfRowsDoesNotChangeABit()
    {
        float[] query = AttentionCase.Query(16, 128);
        using var headMajor = new AttentionCase(ElementType.Float16, 2, 128, 777, order: DimensionOrder.HeadMajor);
        using var tokenMajor = new AttentionCase(ElementType.Float16, 2, 128, 777, order: DimensionOrder.TokenMajor);
        foreach (int bits in AttentionCase.Widths)
        {
            Assert.Equal(headMajor.Run(bits, 16, query).Output.Select(BitConverter.SingleToInt32Bits),
                tokenMajor.Run(bits, 16, query).Output.Select(BitConverter.SingleToInt32Bits));
        }
    }

    [Fact]
    public void BlocksInAnotherOrderAreAnotherSequence()
    {
        // The tests above pass trivially if content did not reach the result: two blocks exchanged behind a window must show.
        float[] query = AttentionCase.Query(4, 64);
        using var sequence = new AttentionCase(ElementType.BFloat16, 4, 64, 192);
        using var other = new AttentionCase(ElementType.BFloat16, 4, 64, 192, edit: (keys, values) =>
        {
            (float[] k, float[] v) = ((float[])keys.Clone(), (float[])values.Clone());
            int block = 64 * 4 * 64;
            k.AsSpan(0, block).CopyTo(keys.AsSpan(block));
            k.AsSpan(block, block).CopyTo(keys);
            v.AsSpan(0, block).CopyTo(values.AsSpan(block));
            v.AsSpan(block, block).CopyTo(values);
        });
        Assert.NotEqual(sequence.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 100)).Output, other.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 100)).Output);
    }
}
