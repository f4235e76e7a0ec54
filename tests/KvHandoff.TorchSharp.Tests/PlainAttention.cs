namespace KvHandoff.TorchSharp.Tests;

/// <summary>Softmax attention as loops over doubles: nothing of libtorch, nothing of the library's kernels.</summary>
sealed record PlainAttention(int QueryHeads, int KvHeads, int Dim, int ValueDim, double Scale)
{
    public int WindowTokens { get; init; } = int.MaxValue;

    public double Cap { get; init; }

    public float[]? Sinks { get; init; }

    /// <param name="query"><c>[queryHeads][queryTokens][dim]</c>, the last tokens.</param>
    /// <param name="keys"><c>[kvHeads][tokens][dim]</c>.</param>
    /// <param name="values"><c>[kvHeads][tokens][stride]</c>, whose first elements are the value.</param>
    /// <param name="valueStride">Elements from one value row to the next.</param>
    /// <returns>As <c>[queryHeads][queryTokens][valueDim]</c> and <c>[queryHeads][queryTokens]</c>.</returns>
    public (double[] Output, double[] LogSumExp) Attend(float[] query, float[] keys, float[] values, int valueStride)
    {
        int queryTokens = query.Length / (QueryHeads * Dim), tokens = keys.Length / (KvHeads * Dim);
        var output = new double[QueryHeads * queryTokens * ValueDim];
        var logSumExp = new double[QueryHeads * queryTokens];
        for (int row = 0; row < logSumExp.Length; row++)
        {
            int head = row / queryTokens, position = tokens - queryTokens + row % queryTokens, kvHead = head / (QueryHeads / KvHeads);
            int first = (int)Math.Max(0, position + 1L - WindowTokens);
            double sum = Sinks is null ? 0 : Math.Exp(Sinks[head]);
            for (int t = first; t <= position; t++)
            {
                double logit = 0;
                for (int d = 0; d < Dim; d++) logit += (double)query[row * Dim + d] * keys[(kvHead * tokens + t) * Dim + d];
                logit *= Scale;
                if (Cap > 0) logit = Cap * Math.Tanh(logit / Cap);
                // No maximum is subtracted: the logits of these cases are small, and the loop stays the formula.
                double weight = Math.Exp(logit);
                sum += weight;
                for (int d = 0; d < ValueDim; d++) output[row * ValueDim + d] += weight * values[(kvHead * tokens + t) * valueStride + d];
            }

            for (int d = 0; d < ValueDim; d++) output[row * ValueDim + d] /= sum;
            logSumExp[row] = Math.Log(sum);
        }

        return (output, logSumExp);
    }
}
