namespace KvHandoff.Attention;

static partial class IntegerTile
{
    /// <summary>The largest magnitude of a quantised query or weight.</summary>
    internal const int LargestCode = 32767;

    /// <summary>Numbers are quantised against no less than this, 2^-100, so that the reciprocal of the step stays finite.</summary>
    internal const float SmallestLargest = 7.88860905e-31f;

    /// <summary>Quantises numbers, each times its scale, against the largest of them.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="scales">As many factors, or nothing.</param>
    /// <param name="codes">As many codes.</param>
    /// <returns>What one unit of a code stands for; NaN where not all products are finite.</returns>
    internal static float Quantise(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, Span<short> codes)
    {
        float largest = SmallestLargest;
        for (int i = 0; i < values.Length; i++) largest = MathF.Max(largest, MathF.Abs(scales.IsEmpty ? values[i] : values[i] * scales[i]));
        if (!float.IsFinite(largest))
        {
            codes[..values.Length].Clear();
            return float.NaN;
        }

        float inverse = LargestCode / largest;
        for (int i = 0; i < values.Length; i++)
        {
            float product = scales.IsEmpty ? values[i] : values[i] * scales[i];
            codes[i] = (short)MathF.Round(product * inverse);
        }

        return largest / LargestCode;
    }

    internal static int Dot(ReadOnlySpan<short> codes, ReadOnlySpan<sbyte> row)
    {
        int sum = 0;
        for (int i = 0; i < codes.Length; i++) sum += codes[i] * row[i];
        return sum;
    }
}
