using System.Runtime.Intrinsics;
using KvHandoff.Model.Kernels;

namespace KvHandoff.Core.Tests.Model;

public class RowOperationsTests
{
    [Fact]
    public void Exponential_is_within_two_units_in_the_last_place()
    {
        var random = new Random(40);
        for (int i = 0; i < 200_000; i++)
        {
            float x = i < 100_000 ? (float)(-87.3 + 175.2 * random.NextDouble()) : (float)(random.NextDouble() - 0.5);
            double exact = Math.Exp(x);
            float unit = MathF.BitIncrement((float)exact) - (float)exact;
            Assert.InRange(Math.Abs(RowOperations.Exponential(Vector256.Create(x))[3] - exact), 0, 2 * unit);
        }
    }

    [Theory]
    [InlineData(float.NegativeInfinity, 0)]
    [InlineData(-1000f, 0)]
    [InlineData(-88f, 0)]
    [InlineData(0f, 1)]
    public void Exponential_of_special_values(float x, float expected) => Assert.Equal(expected, RowOperations.Exponential(Vector256.Create(x))[0]);

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(30)]
    [InlineData(256)]
    public void Row_functions_are_their_definitions_at_every_length(int length)
    {
        var random = new Random(41);
        float[] x = [.. Enumerable.Range(0, length).Select(_ => (float)(20 * random.NextDouble() - 10))];
        float[] w = [.. Enumerable.Range(0, length).Select(_ => (float)random.NextDouble())];
        var normed = new float[length];
        RowOperations.RmsNorm(x, w, 1e-5f, normed);
        double root = Math.Sqrt(x.Sum(v => (double)v * v) / length + 1e-5);
        for (int i = 0; i < length; i++) Assert.Equal(x[i] / root * w[i], normed[i], 1e-5);

        float[] gate = [.. x];
        RowOperations.SwiGlu(gate, w);
        for (int i = 0; i < length; i++) Assert.Equal(x[i] / (1 + Math.Exp(-x[i])) * w[i], gate[i], 1e-5);

        float[] sum = [.. x];
        RowOperations.Add(sum, w);
        RowOperations.Scale(sum, 3);
        for (int i = 0; i < length; i++) Assert.Equal((x[i] + w[i]) * 3, sum[i]);
    }

    [Fact]
    public void Extreme_gates_do_not_become_NaN()
    {
        float[] gate = [1e30f, -1e30f, 200, -200, 0, -88.5f, 88.5f, 1e-30f];
        RowOperations.SwiGlu(gate, [1, 1, 1, 1, 1, 1, 1, 1]);
        Assert.Equal([1e30f, 200f, 0f, 88.5f], [gate[0], gate[2], gate[4], gate[6]]);
        Assert.Equal(0, gate[3], 1e-30);
    }
}
