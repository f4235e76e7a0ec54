namespace KvHandoff.Model;

/// <summary>Takes the most probable token. Thread-safe.</summary>
public static class GreedySampler
{
    /// <summary>Index of the greatest logit, the lowest one on a tie. A NaN never wins; if all are NaN the result is 0.</summary>
    /// <exception cref="ArgumentException">There are no logits.</exception>
    public static int Sample(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty) throw new ArgumentException("There are 0 logits; 1 or more are needed.", nameof(logits));
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best] || (float.IsNaN(logits[best]) && !float.IsNaN(logits[i]))) best = i;
        }

        return best;
    }
}
