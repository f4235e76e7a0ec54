using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class SoftmaxStateTests
{
    [Theory]
    [InlineData(ElementType.Float32, DimensionOrder.HeadMajor)]
    [InlineData(ElementType.Float16, DimensionOrder.TokenMajor)]
    [InlineData(ElementType.BFloat16, DimensionOrder.HeadMajor)]
    public void ASplitAtAnyTokenJoinsToTheWhole(ElementType type, DimensionOrder order)
    {
        const int tokens = 211, queryHeads = 16, kvHeads = 2, dim = 64;
        float[] query = AttentionCase.Query(queryHeads, dim);
        using var sequence = new AttentionCase(type, kvHeads, dim, tokens, 64, order);
        AttentionOracle oracle = sequence.Oracle(queryHeads, query, 0, tokens);
        for (int split = 0; split <= tokens; split++)
        {
            (float[] output, float[] logSumExp) = sequence.Run(InstructionSet.VectorBits, queryHeads, query, new(EndToken: split));
            (float[] other, float[] otherLogSumExp) = sequence.Run(InstructionSet.VectorBits, queryHeads, query, new(StartToken: split));
            SoftmaxState.Merge(output, logSumExp, other, otherLogSumExp);
            // The weights of the join come from the parts' log-sum-exp, each within its bound: twice a weight's own error.
            oracle.Check(output, logSumExp, $"split at {split}", factor: 2);
        }
    }

    [Fact]
    public void ManyPartsJoinToTheWholeInAnyOrder()
    {
        const int tokens = 900, heads = 4, dim = 128;
        float[] query = AttentionCase.Query(heads, dim);
        using var sequence = new AttentionCase(ElementType.BFloat16, heads, dim, tokens, 16);
        AttentionOracle oracle = sequence.Oracle(heads, query, 0, tokens);
        foreach (bool backwards in new[] { false, true })
        {
            var output = new float[heads * dim];
            var logSumExp = new float[heads];
            Array.Fill(logSumExp, float.NegativeInfinity);
            for (int i = 0; i < 9; i++)
            {
                int start = 100 * (backwards ? 8 - i : i);
                (float[] other, float[] otherLogSumExp) = sequence.Run(InstructionSet.VectorBits, heads, query, new(StartToken: start, EndToken: start + 100));
                SoftmaxState.Merge(output, logSumExp, other, otherLogSumExp);
            }

            oracle.Check(output, logSumExp, $"backwards {backwards}", factor: 2);
        }
    }

    [Fact]
    public void AWindowAndASplitMeet()
    {
        float[] query = AttentionCase.Query(4, 64);
        using var sequence = new AttentionCase(ElementType.BFloat16, 4, 64, 300);
        AttentionOracle oracle = sequence.Oracle(4, query, 250, 300);
        // The first part ends before the window starts.
        (float[] output, float[] logSumExp) = sequence.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 50, EndToken: 200));
        Assert.All(logSumExp, l => Assert.Equal(float.NegativeInfinity, l));
        Assert.All(output, o => Assert.Equal(0, o));
        (float[] other, float[] otherLogSumExp) = sequence.Run(InstructionSet.VectorBits, 4, query, new(WindowTokens: 50, StartToken: 200));
        SoftmaxState.Merge(output, logSumExp, other, otherLogSumExp);
        oracle.Check(output, logSumExp, "window");
    }

    [Fact]
    public void EmptyPartsAddNothing()
    {
        float[] output = [1, 2], other = [float.NaN, float.NaN];
        float logSumExp = 3;
        SoftmaxState.Merge(output, ref logSumExp, other, float.NegativeInfinity);
        Assert.Equal([1f, 2f], output);
        Assert.Equal(3, logSumExp);

        float[] empty = [float.NaN, float.NaN];
        float emptyLogSumExp = float.NegativeInfinity;
        SoftmaxState.Merge(empty, ref emptyLogSumExp, output, logSumExp);
        Assert.Equal(output, empty);
        Assert.Equal(3, emptyLogSumExp);

        SoftmaxState.Merge(empty, ref emptyLogSumExp, other, float.NegativeInfinity);
        Assert.Equal(output, empty);
    }

    [Theory]
    [InlineData(0, 0, 0.5)]
    [InlineData(3e38f, 3e38f, 0.5)]
    [InlineData(-3e38f, 3e38f, 0)]
    [InlineData(1.0986123f, 0, 0.75)]
    public void WeightsFollowTheExponentials(float own, float other, double ownWeight)
    {
        float[] output = [8];
        float logSumExp = own;
        SoftmaxState.Merge(output, ref logSumExp, [-8f], other);
        Assert.Equal(8 * ownWeight - 8 * (1 - ownWeight), output[0], 1e-5);
        double expected = Math.Max(own, other) + Math.Log(1 + Math.Exp(-Math.Abs((double)own - other)));
        Assert.InRange(logSumExp, expected - 1e-6 * Math.Abs(expected), expected + 1e-6 * Math.Abs(expected));
    }

    [Fact]
    public void PartsOfDifferentShapeAreRefused()
    {
        Assert.Throws<ArgumentException>(() => SoftmaxState.Merge(new float[8], new float[2], new float[7], new float[2]));
        Assert.Throws<ArgumentException>(() => SoftmaxState.Merge(new float[8], new float[2], new float[8], new float[3]));
        Assert.Throws<ArgumentException>(() => SoftmaxState.Merge(new float[9], new float[2], new float[9], new float[2]));
        float logSumExp = 0;
        Assert.Throws<ArgumentException>(() => SoftmaxState.Merge(new float[8], ref logSumExp, new float[7], 0));
    }
}
