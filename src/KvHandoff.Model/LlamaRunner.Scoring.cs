using KvHandoff.Layout;

namespace KvHandoff.Model;

public sealed partial class LlamaRunner
{
    // Tokens prefilled at once while scoring.
    private const int ScoredChunkTokens = 8 * BlockRows;

    /// <summary>
    /// Prefills <paramref name="tokens"/> and shows the logits after each of them, in order: teacher forcing. Attention reads the cache as
    /// stored, so the cost of the cache's element type is part of the result.
    /// </summary>
    /// <param name="sequence">Continued at its end, as in <see cref="Prefill"/>.</param>
    /// <param name="tokens">1 or more token ids.</param>
    /// <param name="visit">Called for every token on this thread.</param>
    public void Score(KvSequence sequence, ReadOnlySpan<int> tokens, LogitsVisitor visit)
    {
        ArgumentNullException.ThrowIfNull(visit);
        for (int at = 0; at < tokens.Length; at += ScoredChunkTokens)
        {
            ReadOnlySpan<int> chunk = tokens.Slice(at, Math.Min(ScoredChunkTokens, tokens.Length - at));
            RunChunk(sequence, chunk, lastRowOnly: false, layerCompleted: null);
            for (int i = 0; i < chunk.Length; i++)
            {
                Logits(_residual.AsSpan(i * _config.HiddenSize, _config.HiddenSize));
                visit(at + i, _logits);
            }
        }
    }

    /// <summary>
    /// Negative log likelihood, in nats, of <c>tokens[1..]</c>, each given all tokens before it and what <paramref name="sequence"/> already
    /// holds. Perplexity is <c>exp(result / (tokens.Length - 1))</c>.
    /// </summary>
    /// <exception cref="ArgumentException">There are fewer than 2 tokens.</exception>
    public double NegativeLogLikelihood(KvSequence sequence, ReadOnlySpan<int> tokens)
    {
        if (tokens.Length < 2) throw new ArgumentException($"There are {tokens.Length} tokens; 2 or more are needed.", nameof(tokens));
        int[] targets = tokens[1..].ToArray();
        double total = 0;
        Score(sequence, tokens[..^1], (index, logits) => total -= LogProbability(logits, targets[index]));
        return total;
    }

    /// <summary>Natural logarithm of the probability that <paramref name="logits"/> give to <paramref name="token"/>, in double precision.</summary>
    public static double LogProbability(ReadOnlySpan<float> logits, int token)
    {
        double max = float.NegativeInfinity, sum = 0;
        foreach (float logit in logits) max = Math.Max(max, logit);
        foreach (float logit in logits) sum += Math.Exp(logit - max);
        return logits[token] - max - Math.Log(sum);
    }
}
