using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Decode attention for a batch of sequences of any lengths on several threads. Long sequences are split by tokens; how they are split,
/// and the order in which the parts are joined, depends on their lengths alone, so any number of threads gives the same bits.
/// </summary>
/// <remarks>
/// Kept by its owner from step to step: it allocates only when a batch needs more memory than any before. Not thread-safe. Each
/// sequence's result has the bits that <see cref="PagedDecodeAttention"/> and <see cref="MlaDecodeAttention"/> give it.
/// </remarks>
public sealed partial class DecodeAttentionBatch
{
    private readonly List<Entry> _entries = [];
    private int _rows;

    /// <summary>Sequences in the batch.</summary>
    public int Count => _entries.Count;

    /// <summary>Query tokens of all sequences.</summary>
    public int QueryTokens => _rows;

    /// <summary>Empties the batch.</summary>
    public void Clear()
    {
        _entries.Clear();
        _rows = 0;
    }

    /// <summary>Adds a sequence. Its query tokens follow those of the sequences before it.</summary>
    /// <param name="sequence">The sequence; it keeps its blocks until the runs are over.</param>
    /// <param name="tokens">Tokens to read, the query tokens' own included: 0 to what the sequence has room for.</param>
    /// <param name="queryTokens">Query tokens at the end of these: 1 to 16.</param>
    /// <exception cref="ArgumentOutOfRangeException">A count is out of range.</exception>
    public void Add(KvSequence sequence, int tokens, int queryTokens = 1)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        if (tokens < 0 || tokens > sequence.Capacity) throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"{tokens} tokens; allowed: 0 to the sequence's {sequence.Capacity}.");
        if (queryTokens is < 1 or > PagedDecodeAttention.TurnTokens)
            throw new ArgumentOutOfRangeException(nameof(queryTokens), queryTokens, $"{queryTokens} query tokens; allowed: 1 to {PagedDecodeAttention.TurnTokens}.");
        _entries.Add(new Entry(sequence, tokens, queryTokens, _rows));
        _rows += queryTokens;
    }

    /// <summary>Attends for every sequence of the batch in one layer.</summary>
    /// <param name="layer">The model's layer.</param>
    /// <param name="queryHeads">Query heads, a positive multiple of the layer's kv heads.</param>
    /// <param name="query"><c>[query token of the batch][queryHeads][dim]</c>.</param>
    /// <param name="options">The same for every sequence. <see cref="AttentionOptions.StartToken"/>, <see cref="AttentionOptions.EndToken"/>
    /// and <see cref="AttentionOptions.QueryPosition"/> belong to one sequence and are not allowed here.</param>
    /// <param name="output"><c>[query token of the batch][queryHeads][dim]</c>.</param>
    /// <param name="logSumExp"><c>[query token of the batch][queryHeads]</c>.</param>
    /// <param name="threads">Threads to run on; null for the calling one alone.</param>
    /// <exception cref="ArgumentException">A length or option does not fit; the message names both.</exception>
    public void Run(int layer, int queryHeads, ReadOnlySpan<float> query, in AttentionOptions options, Span<float> output, Span<float> logSumExp, AttentionThreads? threads = null) =>
        Run(KernelTarget.InUse, layer, queryHeads, latentDim: 0, query, options, output, logSumExp, threads);

    /// <summary>The same over a layer of a latent group, see <see cref="MlaDecodeAttention"/>.</summary>
    /// <param name="layer">The model's layer.</param>
    /// <param name="heads">Query heads.</param>
    /// <param name="latentDim">Leading elements of a row that are its value.</param>
    /// <param name="query"><c>[query token of the batch][heads][row elements]</c>.</param>
    /// <param name="options">As above; the softmax scale must be given.</param>
    /// <param name="output"><c>[query token of the batch][heads][latentDim]</c>.</param>
    /// <param name="logSumExp"><c>[query token of the batch][heads]</c>.</param>
    /// <param name="threads">Threads to run on; null for the calling one alone.</param>
    /// <exception cref="ArgumentException">A length or option does not fit; the message names both.</exception>
    public void RunLatent(int layer, int heads, int latentDim, ReadOnlySpan<float> query, in AttentionOptions options, Span<float> output, Span<float> logSumExp,
        AttentionThreads? threads = null)
    {
        if (latentDim < 1) throw new ArgumentException($"The latent has {latentDim} elements; allowed: 1 or more.", nameof(latentDim));
        Run(KernelTarget.InUse, layer, heads, latentDim, query, options, output, logSumExp, threads);
    }

    private void Validate(int layer, int queryHeads, int latentDim, int queryLength, in AttentionOptions options, int outputLength, int logSumExpLength)
    {
        if (options.StartToken != 0 || options.EndToken is not null || options.QueryPosition is not null)
            throw new ArgumentException("A part of the sequence or a query position is given; a batch reads whole sequences with the queries at their ends.", nameof(options));
        if (_rows == 0)
        {
            if (queryLength + outputLength + logSumExpLength != 0) throw new ArgumentException($"The batch is empty; the query has {queryLength} elements, the output {outputLength}, the log-sum-exp {logSumExpLength}.", "query");
            return;
        }

        foreach (Entry entry in _entries)
        {
            KvLayerView view = entry.Sequence.View(layer, entry.Tokens);
            LayerGroup group = view.Group;
            int valueDim = latentDim != 0 ? latentDim : group.HeadDim;
            if (latentDim != 0) MlaDecodeAttention.RequireLatent(group, latentDim, options);
            else PagedDecodeAttention.RequireKind(group);
            int queryTokens = AttentionPlan.Validate(group, entry.Tokens, queryHeads, queryLength, valueDim, options, outputLength, logSumExpLength);
            if (queryTokens != _rows) throw new ArgumentException($"The query has {queryTokens} tokens; the batch has {_rows}.", "query");
        }
    }

    private readonly record struct Entry(KvSequence Sequence, int Tokens, int QueryTokens, int FirstQueryToken);
}
