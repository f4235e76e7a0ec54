namespace KvHandoff.Attention;

/// <summary>
/// What a query attends to and how logits become weights. The default reads the whole sequence, the query tokens being its last ones.
/// </summary>
/// <param name="SoftmaxScale">Factor of the logits, 1e-30 to 1e30; 0 stands for 1 / sqrt(head dimension).</param>
/// <param name="WindowTokens">
/// Tokens that a query looks back on, its own included; 0 for no window of its own. A sliding-window group brings its window along:
/// the smaller of both holds.
/// </param>
/// <param name="StartToken">First token of the part to read, 0 or more. With <paramref name="EndToken"/> it splits a long sequence.</param>
/// <param name="EndToken">Token behind the part to read; null reads to the end of the view. A part may be empty.</param>
public readonly record struct AttentionOptions(float SoftmaxScale = 0, int WindowTokens = 0, int StartToken = 0, int? EndToken = null)
{
    /// <summary>Soft cap c of the scaled logits, <c>c tanh(x / c)</c>, as Gemma 2 has it, 1e-30 to 1e30; 0 for none.</summary>
    public float LogitCap { get; init; }

    /// <summary>
    /// Attention sinks, one logit per query head, as gpt-oss has them: each adds its exponential to the denominator and nothing to the
    /// output. Empty for none. Where a sequence is split into parts, give them to one part only.
    /// </summary>
    public ReadOnlyMemory<float> Sinks { get; init; }

    /// <summary>
    /// Position of the first query token, counted from the view's first token; null: the queries are the view's last tokens. A query
    /// sees the tokens up to its own position, so a worker that holds an earlier part of a sequence gives a position behind its part.
    /// </summary>
    public int? QueryPosition { get; init; }

    /// <summary>Precision of the softmax weights.</summary>
    public SoftmaxWeights Weights { get; init; }
}
