namespace KvHandoff.Attention;

/// <summary>
/// The definition of a step of attention, over rows as plain fp32: what <see cref="AttendTile"/> describes, token by token. The other
/// kernels are tested against it, and it serves shapes that fit no vector.
/// </summary>
static class ScalarTile
{
    /// <summary>Logits of one query row against the rows of a tile, in units of ln 2.</summary>
    /// <param name="query"><c>[dim]</c>.</param>
    /// <param name="keys"><c>[token][dim]</c>, channel scales multiplied in.</param>
    /// <param name="scales">A factor of each token, or empty.</param>
    /// <param name="factor">A factor of all.</param>
    /// <param name="cap">Bound of the result, or 0.</param>
    /// <param name="logits">Receives one a token.</param>
    internal static void Logits(ReadOnlySpan<float> query, ReadOnlySpan<float> keys, ReadOnlySpan<float> scales, float factor, float cap, Span<float> logits)
    {
        for (int t = 0; t < logits.Length; t++)
        {
            float dot = 0;
            ReadOnlySpan<float> key = keys.Slice(t * query.Length, query.Length);
            for (int d = 0; d < key.Length; d++) dot += query[d] * key[d];
            float logit = dot * factor * (scales.IsEmpty ? 1 : scales[t]);
            logits[t] = cap == 0 ? logit : cap * MathF.Tanh(logit / cap);
        }
    }

    /// <summary>Turns the logits of the visible tokens into weights relative to the running maximum.</summary>
    /// <returns>The factor for what was summed before, relative to the old maximum.</returns>
    internal static float Weights(Span<float> logits, ref float maximum, ref float sum)
    {
        float old = maximum;
        foreach (float logit in logits) maximum = MathF.Max(maximum, logit);
        // Only minus infinity so far: any finite reference makes all weights zero.
        float reference = float.IsNegativeInfinity(maximum) ? 0 : maximum, scale = float.IsNegativeInfinity(old) ? 0 : MathF.Exp((old - reference) * (float)Exponential.Ln2);
        sum *= scale;
        foreach (ref float logit in logits)
        {
            logit = MathF.Exp((logit - reference) * (float)Exponential.Ln2);
            sum += logit;
        }

        return scale;
    }

    /// <summary>Adds the rows of the visible tokens, each times its weight, to a rescaled sum.</summary>
    /// <param name="weights">One a token.</param>
    /// <param name="scales">A factor of each token, or empty.</param>
    /// <param name="values"><c>[token][dim]</c>, channel scales multiplied in.</param>
    /// <param name="scale">Factor of what is there.</param>
    /// <param name="output"><c>[dim]</c>.</param>
    internal static void Accumulate(ReadOnlySpan<float> weights, ReadOnlySpan<float> scales, ReadOnlySpan<float> values, float scale, Span<float> output)
    {
        foreach (ref float element in output) element *= scale;
        for (int t = 0; t < weights.Length; t++)
        {
            float weight = weights[t] * (scales.IsEmpty ? 1 : scales[t]);
            ReadOnlySpan<float> value = values.Slice(t * output.Length, output.Length);
            for (int d = 0; d < output.Length; d++) output[d] += value[d] * weight;
        }
    }
}
