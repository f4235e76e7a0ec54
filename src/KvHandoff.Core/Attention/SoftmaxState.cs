namespace KvHandoff.Attention;

/// <summary>
/// Joins attention over parts of a sequence. A part is known by its normalised output and the natural logarithm of the sum
/// of its exponentials; a part without tokens has minus infinity and adds nothing.
/// </summary>
/// <remarks>
/// In exact arithmetic the result does not depend on where the sequence was cut or in which order parts are joined; in fp32
/// it does by a few units in the last place. Thread-safe; nothing is allocated.
/// </remarks>
public static class SoftmaxState
{
    /// <summary>Adds one part of one query head to another in place.</summary>
    /// <param name="output"><c>[dim]</c>: the first part's output, replaced by the joint one.</param>
    /// <param name="logSumExp">The first part's log-sum-exp, replaced by the joint one.</param>
    /// <param name="otherOutput"><c>[dim]</c>: the second part's output.</param>
    /// <param name="otherLogSumExp">The second part's log-sum-exp; minus infinity for an empty part, whose output is then not read.</param>
    /// <exception cref="ArgumentException">The outputs differ in length.</exception>
    public static void Merge(Span<float> output, ref float logSumExp, ReadOnlySpan<float> otherOutput, float otherLogSumExp)
    {
        if (output.Length != otherOutput.Length)
            throw new ArgumentException($"The other part has {otherOutput.Length} elements; this one has {output.Length}.", nameof(otherOutput));
        if (float.IsNegativeInfinity(otherLogSumExp))
            return;
        if (float.IsNegativeInfinity(logSumExp))
        {
            otherOutput.CopyTo(output);
            logSumExp = otherLogSumExp;
            return;
        }

        // Relative to the larger part neither exponential overflows. In double: the weights then add no error of their own.
        double largest = Math.Max(logSumExp, otherLogSumExp);
        double own = Math.Exp(logSumExp - largest), other = Math.Exp(otherLogSumExp - largest);
        double sum = own + other;
        float ownWeight = (float)(own / sum), otherWeight = (float)(other / sum);
        for (int d = 0; d < output.Length; d++)
            output[d] = output[d] * ownWeight + otherOutput[d] * otherWeight;
        logSumExp = (float)(largest + Math.Log(sum));
    }

    /// <summary>Adds one part of all query heads to another in place, head by head.</summary>
    /// <param name="output"><c>[queryHeads][dim]</c>, replaced.</param>
    /// <param name="logSumExp"><c>[queryHeads]</c>, replaced.</param>
    /// <param name="otherOutput"><c>[queryHeads][dim]</c>.</param>
    /// <param name="otherLogSumExp"><c>[queryHeads]</c>.</param>
    /// <exception cref="ArgumentException">The two parts differ in shape, or the outputs are not whole heads.</exception>
    public static void Merge(Span<float> output, Span<float> logSumExp, ReadOnlySpan<float> otherOutput, ReadOnlySpan<float> otherLogSumExp)
    {
        int heads = logSumExp.Length;
        if (otherLogSumExp.Length != heads)
            throw new ArgumentException($"The other part has {otherLogSumExp.Length} heads; this one has {heads}.", nameof(otherLogSumExp));
        if (otherOutput.Length != output.Length)
            throw new ArgumentException($"The other part has {otherOutput.Length} elements; this one has {output.Length}.", nameof(otherOutput));
        if (heads == 0 ? output.Length != 0 : output.Length % heads != 0)
            throw new ArgumentException($"{output.Length} elements are not whole rows of {heads} heads.", nameof(output));
        if (heads == 0)
            return;
        int dim = output.Length / heads;
        for (int h = 0; h < heads; h++)
            Merge(output.Slice(h * dim, dim), ref logSumExp[h], otherOutput.Slice(h * dim, dim), otherLogSumExp[h]);
    }
}
