namespace KvHandoff.Attention;

/// <summary>What <see cref="PanelTile{TElement, TWidth, TMath, TVector}"/> computes, number by number.</summary>
static partial class PanelTile
{
    /// <summary>Widens a stored row, each channel times its scale where there are any.</summary>
    internal static void Widen<TElement>(ReadOnlySpan<byte> row, ReadOnlySpan<float> scales, Span<float> wide)
        where TElement : IKvElement
    {
        TElement.Widen(row, wide);
        for (int d = 0; d < scales.Length; d++) wide[d] *= scales[d];
    }

    internal static float Dot(ReadOnlySpan<float> query, ReadOnlySpan<float> key)
    {
        float sum = 0;
        for (int d = 0; d < query.Length; d++) sum += query[d] * key[d];
        return sum;
    }

    internal static void Scale(Span<float> output, float factor)
    {
        for (int d = 0; d < output.Length; d++) output[d] *= factor;
    }

    internal static void AddScaled(Span<float> output, ReadOnlySpan<float> value, float weight)
    {
        for (int d = 0; d < output.Length; d++) output[d] += weight * value[d];
    }
}
