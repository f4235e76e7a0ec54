using System.Numerics;
using System.Runtime.InteropServices;

namespace KvHandoff.Attention;

/// <summary>Sums of rows in vectors of the processor's width.</summary>
static class VectorSums
{
    /// <summary><c>sum[d] += row[d] * factor</c>.</summary>
    internal static void AddScaled(ReadOnlySpan<float> row, float factor, Span<float> sum)
    {
        ReadOnlySpan<Vector<float>> rows = MemoryMarshal.Cast<float, Vector<float>>(row);
        Span<Vector<float>> sums = MemoryMarshal.Cast<float, Vector<float>>(sum);
        for (int i = 0; i < sums.Length; i++) sums[i] += rows[i] * factor;
        for (int d = sums.Length * Vector<float>.Count; d < sum.Length; d++) sum[d] += row[d] * factor;
    }
}
