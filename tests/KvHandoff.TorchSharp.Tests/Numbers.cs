using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp.Tests;

/// <summary>Seeded numbers, tensors of them, and the comparison of results.</summary>
static class Numbers
{
    public static float[] Normal(int seed, params int[] shape)
    {
        var random = new Random(seed);
        var numbers = new float[shape.Aggregate((a, b) => a * b)];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return numbers;
    }

    public static Tensor Shaped(float[] numbers, params long[] shape) => tensor(numbers).reshape(shape);

    public static double[] Doubles(Tensor result) => MemoryMarshal.Cast<byte, double>(result.to_type(ScalarType.Float64).contiguous().bytes).ToArray();

    /// <summary>Fails where a number is farther off than <paramref name="tolerance"/>; a NaN is.</summary>
    public static void Near(double[] expected, double[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance)) Assert.Fail($"{what}: element {i} is {actual[i]}; expected {expected[i]} +- {tolerance}.");
    }

    public static double[] Widen(float[] numbers) => Array.ConvertAll(numbers, x => (double)x);
}
