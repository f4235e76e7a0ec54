namespace KvHandoff.Numerics;

/// <summary>
/// The scale that follows from a largest finite magnitude: <c>max(amax / largestCode, 2^-120)</c>, 1 where amax is zero, rounded to
/// BF16 where scales travel so. The lower bound keeps the inverse finite.
/// </summary>
static partial class AmaxScale
{
    /// <summary>2^-120.</summary>
    internal const float Smallest = 7.52316385e-37f;

    internal static void RequireType(ScaleType scaleType)
    {
        if (scaleType is not (ScaleType.Float32 or ScaleType.BFloat16))
        {
            throw new ArgumentOutOfRangeException(
                nameof(scaleType), scaleType, $"Scale type {(byte)scaleType} does not follow from amax; allowed are 1 (fp32) and 2 (bf16).");
        }
    }

    /// <summary>Scales and their inverses; either may be the span of magnitudes itself. The spans are equally long.</summary>
    internal static void Compute(
        ReadOnlySpan<float> largest, float largestCode, ScaleType scaleType, Span<float> scales, Span<float> inverses)
    {
        bool toBFloat16 = scaleType == ScaleType.BFloat16;
        int done = ComputeVectors(largest, largestCode, toBFloat16, scales, inverses);
        ComputeScalar(largest[done..], largestCode, toBFloat16, scales[done..], inverses[done..]);
    }

    /// <summary>The definition, and the tail of the vectorised form.</summary>
    internal static void ComputeScalar(
        ReadOnlySpan<float> largest, float largestCode, bool toBFloat16, Span<float> scales, Span<float> inverses)
    {
        for (int i = 0; i < largest.Length; i++)
        {
            float scale = largest[i] == 0f ? 1f : Math.Max(largest[i] / largestCode, Smallest);
            if (toBFloat16)
                scale = (float)(BFloat16)scale;
            scales[i] = scale;
            inverses[i] = 1f / scale;
        }
    }
}
