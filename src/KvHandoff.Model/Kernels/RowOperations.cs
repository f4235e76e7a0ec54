using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Model.Kernels;

/// <summary>Operations on one row of activations. The order of every sum is fixed, so the bits do not depend on the vector width.</summary>
/// <remarks>Compiled optimised at once: a first prompt must not run through thousands of rows of unoptimised code.</remarks>
internal static class RowOperations
{
    private const int Lanes = 8;

    /// <summary><c>output[i] = input[i] / sqrt(mean(input^2) + epsilon) * weight[i]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void RmsNorm(ReadOnlySpan<float> input, ReadOnlySpan<float> weight, float epsilon, Span<float> output)
    {
        Vector256<float> squares = default;
        int i = 0;
        for (; i + Lanes <= input.Length; i += Lanes)
        {
            Vector256<float> x = Vector256.Create(input.Slice(i, Lanes));
            squares = Vector256.FusedMultiplyAdd(x, x, squares);
        }

        float sum = SumInOrder(squares);
        for (; i < input.Length; i++) sum = MathF.FusedMultiplyAdd(input[i], input[i], sum);
        float factor = 1 / MathF.Sqrt(sum / input.Length + epsilon);
        for (i = 0; i + Lanes <= input.Length; i += Lanes)
        {
            Vector256<float> x = Vector256.Create(input.Slice(i, Lanes)) * factor;
            (x * Vector256.Create(weight.Slice(i, Lanes))).CopyTo(output[i..]);
        }

        for (; i < input.Length; i++) output[i] = input[i] * factor * weight[i];
    }

    /// <summary><c>target[i] += addend[i]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Add(Span<float> target, ReadOnlySpan<float> addend)
    {
        int i = 0;
        for (; i + Lanes <= target.Length; i += Lanes)
            (Vector256.Create(target.Slice(i, Lanes)) + Vector256.Create(addend.Slice(i, Lanes))).CopyTo(target[i..]);
        for (; i < target.Length; i++) target[i] += addend[i];
    }

    /// <summary><c>target[i] *= factor</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Scale(Span<float> target, float factor)
    {
        int i = 0;
        for (; i + Lanes <= target.Length; i += Lanes) (Vector256.Create(target.Slice(i, Lanes)) * factor).CopyTo(target[i..]);
        for (; i < target.Length; i++) target[i] *= factor;
    }

    /// <summary><c>gate[i] = gate[i] * sigmoid(gate[i]) * up[i]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void SwiGlu(Span<float> gate, ReadOnlySpan<float> up)
    {
        int i = 0;
        for (; i + Lanes <= gate.Length; i += Lanes)
            SwiGlu(Vector256.Create(gate.Slice(i, Lanes)), Vector256.Create(up.Slice(i, Lanes))).CopyTo(gate[i..]);
        for (; i < gate.Length; i++) gate[i] = SwiGlu(Vector256.Create(gate[i]), Vector256.Create(up[i]))[0];
    }

    /// <summary>Greatest element of a row whose length is a multiple of 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static float Max(ReadOnlySpan<float> row)
    {
        Vector256<float> most = Vector256.Create(row);
        for (int i = Lanes; i < row.Length; i += Lanes) most = Vector256.Max(most, Vector256.Create(row.Slice(i, Lanes)));
        float max = most[0];
        for (int lane = 1; lane < Lanes; lane++) max = MathF.Max(max, most[lane]);
        return max;
    }

    /// <summary><c>row[i] = exp(row[i] - max)</c> for a row whose length is a multiple of 8; returns the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static float ExponentialsBelow(Span<float> row, float max)
    {
        Vector256<float> sum = default, top = Vector256.Create(max);
        for (int i = 0; i < row.Length; i += Lanes)
        {
            Vector256<float> e = Exponential(Vector256.Create((ReadOnlySpan<float>)row.Slice(i, Lanes)) - top);
            e.CopyTo(row[i..]);
            sum += e;
        }

        return SumInOrder(sum);
    }

    /// <summary>
    /// e^x within 2 ulp for x up to 88; 0 below -87.3, minus infinity included. Cephes' polynomial after reduction by ln 2 in two parts.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<float> Exponential(Vector256<float> x)
    {
        Vector256<float> least = Vector256.Create(-87.33654f);
        Vector256<float> kept = Vector256.GreaterThanOrEqual(x, least);
        x = Vector256.Min(Vector256.Max(x, least), Vector256.Create(88f));
        Vector256<float> n = Vector256.Floor(Vector256.FusedMultiplyAdd(x, Vector256.Create(1.44269504f), Vector256.Create(0.5f)));
        Vector256<float> r = Vector256.FusedMultiplyAdd(n, Vector256.Create(-0.693359375f), x);
        r = Vector256.FusedMultiplyAdd(n, Vector256.Create(2.12194440e-4f), r);
        Vector256<float> p = Vector256.Create(1.9875691500e-4f);
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.FusedMultiplyAdd(p, r * r, r) + Vector256<float>.One;
        Vector256<int> exponent = (Vector256.ConvertToInt32(n) + Vector256.Create(127)) << 23;
        return p * exponent.AsSingle() & kept;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> SwiGlu(Vector256<float> gate, Vector256<float> up) =>
        gate / (Vector256<float>.One + Exponential(-gate)) * up;

    private static float SumInOrder(Vector256<float> values)
    {
        float sum = values[0];
        for (int lane = 1; lane < Lanes; lane++) sum += values[lane];
        return sum;
    }
}
