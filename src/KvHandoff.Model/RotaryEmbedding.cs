using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Model;

/// <summary>
/// Rotary position embedding, rotate-half convention: element i of a head turns with element i + dim / 2. Angles are computed in
/// double precision and rounded once.
/// </summary>
/// <remarks>Not thread-safe while <see cref="Reserve"/> runs; <see cref="Apply"/> is, for positions already reserved.</remarks>
internal sealed class RotaryEmbedding(LlamaConfig config)
{
    private const int Lanes = 8;

    private readonly double[] _inverseFrequencies = InverseFrequencies(config);
    private float[] _cosines = [], _sines = [];
    private int _positions;

    /// <summary>Radians per token of each pair of elements.</summary>
    internal static double[] InverseFrequencies(LlamaConfig config)
    {
        var frequencies = new double[config.HeadDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double inverse = 1 / Math.Pow(config.RopeTheta, 2.0 * i / config.HeadDim);
            frequencies[i] = config.RopeScaling?.Scale(inverse) ?? inverse;
        }

        return frequencies;
    }

    /// <summary>Prepares the tables for positions below <paramref name="positions"/>.</summary>
    internal void Reserve(int positions)
    {
        if (positions <= _positions) return;
        int half = _inverseFrequencies.Length, from = _positions;
        _positions = Math.Max(positions, Math.Min(config.MaxPositions, 2 * _positions));
        Array.Resize(ref _cosines, checked(_positions * half));
        Array.Resize(ref _sines, checked(_positions * half));
        for (int position = from; position < _positions; position++)
        {
            for (int i = 0; i < half; i++)
            {
                (double sine, double cosine) = Math.SinCos(position * _inverseFrequencies[i]);
                _cosines[position * half + i] = (float)cosine;
                _sines[position * half + i] = (float)sine;
            }
        }
    }

    /// <summary>Turns every head of one token in place. <paramref name="heads"/> is <c>[head][dim]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal void Apply(Span<float> heads, int position)
    {
        int half = _inverseFrequencies.Length;
        ReadOnlySpan<float> cosines = _cosines.AsSpan(position * half, half), sines = _sines.AsSpan(position * half, half);
        for (; heads.Length > 0; heads = heads[(2 * half)..])
        {
            Span<float> low = heads[..half], high = heads.Slice(half, half);
            int i = 0;
            for (; i + Lanes <= half; i += Lanes)
            {
                Vector256<float> a = Vector256.Create((ReadOnlySpan<float>)low.Slice(i, Lanes)), b = Vector256.Create((ReadOnlySpan<float>)high.Slice(i, Lanes));
                Vector256<float> cosine = Vector256.Create(cosines.Slice(i, Lanes)), sine = Vector256.Create(sines.Slice(i, Lanes));
                (a * cosine - b * sine).CopyTo(low[i..]);
                (b * cosine + a * sine).CopyTo(high[i..]);
            }

            for (; i < half; i++)
            {
                float a = low[i], b = high[i];
                low[i] = a * cosines[i] - b * sines[i];
                high[i] = b * cosines[i] + a * sines[i];
            }
        }
    }
}
