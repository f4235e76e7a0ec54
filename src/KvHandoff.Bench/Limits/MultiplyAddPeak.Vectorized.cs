using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Limits;

/// <summary>
/// What one thread's fused multiply-adds give: nothing but fp32 multiply-adds on registers, in the widest vectors of this process. On
/// processors that multiply BF16 pairs directly this is not the bound of kernels which do.
/// </summary>
internal static class MultiplyAddPeak
{
    /// <summary>Multiply-adds of one pass.</summary>
    internal const long PerPass = 1 << 26;

    // As many as hide the latency of the operation on every processor, and still fit into 16 registers.
    private const int Chains = 12;
    private const float Factor = 0.999f, Summand = 1e-3f;

    /// <summary>One pass. The result depends on all of them.</summary>
    internal static float Run() => InstructionSet.VectorBits switch
    {
        512 => Run512((int)(PerPass / (Chains * Vector512<float>.Count))),
        256 => Run256((int)(PerPass / (Chains * Vector256<float>.Count))),
        128 => Run128((int)(PerPass / (Chains * Vector128<float>.Count))),
        _ => RunScalar((int)(PerPass / Chains)),
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Run512(int rounds)
    {
        Vector512<float> x = Vector512.Create(Factor), y = Vector512.Create(Summand), a = y, b = x, c = y, d = x, e = y, f = x, g = y, h = x, i = y, j = x, k = y, l = x;
        for (int round = 0; round < rounds; round++)
        {
            a = Vector512.MultiplyAddEstimate(a, x, y); b = Vector512.MultiplyAddEstimate(b, x, y); c = Vector512.MultiplyAddEstimate(c, x, y);
            d = Vector512.MultiplyAddEstimate(d, x, y); e = Vector512.MultiplyAddEstimate(e, x, y); f = Vector512.MultiplyAddEstimate(f, x, y);
            g = Vector512.MultiplyAddEstimate(g, x, y); h = Vector512.MultiplyAddEstimate(h, x, y); i = Vector512.MultiplyAddEstimate(i, x, y);
            j = Vector512.MultiplyAddEstimate(j, x, y); k = Vector512.MultiplyAddEstimate(k, x, y); l = Vector512.MultiplyAddEstimate(l, x, y);
        }

        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Run256(int rounds)
    {
        Vector256<float> x = Vector256.Create(Factor), y = Vector256.Create(Summand), a = y, b = x, c = y, d = x, e = y, f = x, g = y, h = x, i = y, j = x, k = y, l = x;
        for (int round = 0; round < rounds; round++)
        {
            a = Vector256.MultiplyAddEstimate(a, x, y); b = Vector256.MultiplyAddEstimate(b, x, y); c = Vector256.MultiplyAddEstimate(c, x, y);
            d = Vector256.MultiplyAddEstimate(d, x, y); e = Vector256.MultiplyAddEstimate(e, x, y); f = Vector256.MultiplyAddEstimate(f, x, y);
            g = Vector256.MultiplyAddEstimate(g, x, y); h = Vector256.MultiplyAddEstimate(h, x, y); i = Vector256.MultiplyAddEstimate(i, x, y);
            j = Vector256.MultiplyAddEstimate(j, x, y); k = Vector256.MultiplyAddEstimate(k, x, y); l = Vector256.MultiplyAddEstimate(l, x, y);
        }

        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Run128(int rounds)
    {
        Vector128<float> x = Vector128.Create(Factor), y = Vector128.Create(Summand), a = y, b = x, c = y, d = x, e = y, f = x, g = y, h = x, i = y, j = x, k = y, l = x;
        for (int round = 0; round < rounds; round++)
        {
            a = Vector128.MultiplyAddEstimate(a, x, y); b = Vector128.MultiplyAddEstimate(b, x, y); c = Vector128.MultiplyAddEstimate(c, x, y);
            d = Vector128.MultiplyAddEstimate(d, x, y); e = Vector128.MultiplyAddEstimate(e, x, y); f = Vector128.MultiplyAddEstimate(f, x, y);
            g = Vector128.MultiplyAddEstimate(g, x, y); h = Vector128.MultiplyAddEstimate(h, x, y); i = Vector128.MultiplyAddEstimate(i, x, y);
            j = Vector128.MultiplyAddEstimate(j, x, y); k = Vector128.MultiplyAddEstimate(k, x, y); l = Vector128.MultiplyAddEstimate(l, x, y);
        }

        return Vector128.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float RunScalar(int rounds)
    {
        float a = 0, b = 1, c = 2, d = 3, e = 4, f = 5, g = 6, h = 7, i = 8, j = 9, k = 10, l = 11;
        for (int round = 0; round < rounds; round++)
        {
            a = a * Factor + Summand; b = b * Factor + Summand; c = c * Factor + Summand; d = d * Factor + Summand;
            e = e * Factor + Summand; f = f * Factor + Summand; g = g * Factor + Summand; h = h * Factor + Summand;
            i = i * Factor + Summand; j = j * Factor + Summand; k = k * Factor + Summand; l = l * Factor + Summand;
        }

        return a + b + c + d + e + f + g + h + i + j + k + l;
    }
}
