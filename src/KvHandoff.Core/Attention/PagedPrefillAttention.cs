using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Causal attention of a whole prompt, or of a chunk of it, over the keys and values as the cache stores them, so that prefill and decode
/// see the same numbers. Blocks of query tokens times kv heads are shared out over threads.
/// </summary>
/// <remarks>
/// Kept by its owner: it allocates only when more memory is needed than ever before. Not thread-safe. Keys are walked in tiles from fixed
/// places with a running softmax: a query's result has the same bits whatever chunk it is part of and on any number of threads.
/// </remarks>
public sealed partial class PagedPrefillAttention
{
    /// <summary>Query rows that one item works on: enough that unpacking a tile of keys is cheap beside its use.</summary>
    private const int ItemRows = 128;

    /// <summary>Attends with the query tokens at the end of a sequence.</summary>
    /// <param name="sequence">The sequence; the rows of the layer are in the cache up to and including the last query's.</param>
    /// <param name="layer">The model's layer.</param>
    /// <param name="tokens">Tokens to read, the query tokens' own included: 0 to what the sequence has room for.</param>
    /// <param name="queryHeads">Query heads, a positive multiple of the layer's kv heads.</param>
    /// <param name="query"><c>[query token][queryHeads][dim]</c>, rotated.</param>
    /// <param name="options">Scale, cap, window, sinks. A part of the sequence or a query position is not allowed here.</param>
    /// <param name="output"><c>[query token][queryHeads][dim]</c>.</param>
    /// <param name="logSumExp"><c>[query token][queryHeads]</c>: natural logarithm of the sum of exponentials.</param>
    /// <param name="threads">Threads to run on; null for the calling one alone.</param>
    /// <exception cref="ArgumentException">A length or option does not fit; the message names both.</exception>
    public void Run(KvSequence sequence, int layer, int tokens, int queryHeads, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp, AttentionThreads? threads = null) =>
        Run(KernelTarget.InUse, sequence, layer, tokens, queryHeads, query, options, output, logSumExp, threads);

    private static int Validate(KvSequence sequence, int layer, int tokens, int queryHeads, int queryLength, in AttentionOptions options, int outputLength, int logSumExpLength)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        if (tokens < 0 || tokens > sequence.Capacity) throw new ArgumentException($"{tokens} tokens; allowed: 0 to the sequence's {sequence.Capacity}.", nameof(tokens));
        if (options.StartToken != 0 || options.EndToken is not null || options.QueryPosition is not null)
            throw new ArgumentException("A part of the sequence or a query position is given; prefill reads whole sequences with the queries at their ends.", nameof(options));
        LayerGroup group = sequence.View(layer, tokens).Group;
        PagedDecodeAttention.RequireKind(group);
        int queryTokens = AttentionPlan.Validate(group, tokens, queryHeads, queryLength, group.HeadDim, options, outputLength, logSumExpLength);
        if (queryTokens > tokens) throw new ArgumentException($"The query has {queryTokens} tokens; the sequence is read up to token {tokens}.", nameof(tokens));
        return queryTokens;
    }
}
