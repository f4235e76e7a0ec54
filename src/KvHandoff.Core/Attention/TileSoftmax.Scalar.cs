namespace KvHandoff.Attention;

static partial class TileSoftmax
{
    /// <summary>Turns the dot products of one query row into weights relative to the running maximum.</summary>
    /// <param name="scores">Dot products; on return 2^(s - m'), 0 outside of what is visible.</param>
    /// <param name="keyScales">A factor of each token, or nothing.</param>
    /// <param name="logitFactor">A factor of all tokens; logits are in units of ln 2.</param>
    /// <param name="cap">Bound of the logits; 0 for none.</param>
    /// <param name="from">First visible token.</param>
    /// <param name="to">Behind the last visible token.</param>
    /// <param name="maximum">The running maximum.</param>
    /// <param name="sum">The running sum.</param>
    /// <returns>The factor for what was summed before; 1 where the maximum stays.</returns>
    internal static float Weights(
        Span<float> scores, ReadOnlySpan<float> keyScales, float logitFactor, float cap, int from, int to, ref float maximum, ref float sum)
    {
        if (from >= to)
        {
            scores.Clear();
            return 1;
        }

        scores[..from].Clear();
        scores[to..].Clear();
        float old = maximum;
        for (int t = from; t < to; t++)
        {
            float logit = (keyScales.IsEmpty ? scores[t] : scores[t] * keyScales[t]) * logitFactor;
            scores[t] = cap == 0 ? logit : cap * MathF.Tanh(logit / cap);
            maximum = MathF.Max(maximum, scores[t]);
        }

        // Only minus infinity so far: any finite reference makes all weights zero.
        float reference = float.IsNegativeInfinity(maximum) ? 0 : maximum;
        float rescale = old == maximum ? 1 : MathF.Pow(2, old - reference);
        sum *= rescale;
        for (int t = from; t < to; t++)
        {
            scores[t] = MathF.Pow(2, scores[t] - reference);
            sum += scores[t];
        }

        return rescale;
    }
}
