namespace KvHandoff.Attention;

/// <summary>What a decode step attends to and how logits are scaled. The default reads the whole sequence.</summary>
/// <param name="SoftmaxScale">Factor of the logits, finite and positive; 0 stands for 1 / sqrt(head dimension).</param>
/// <param name="WindowTokens">
/// Tokens that the query looks back on, the newest token of the view included; 0 for no window of its own. A sliding-window group
/// brings its window along: the smaller of both holds.
/// </param>
/// <param name="StartToken">First token of the part to read, 0 or more. With <paramref name="EndToken"/> it splits a long sequence.</param>
/// <param name="EndToken">Token behind the part to read; null reads to the end of the view. A part may be empty.</param>
public readonly record struct DecodeAttentionOptions(
    float SoftmaxScale = 0, int WindowTokens = 0, int StartToken = 0, int? EndToken = null);
