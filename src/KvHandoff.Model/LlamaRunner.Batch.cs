using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Model.Kernels;

namespace KvHandoff.Model;

public sealed partial class LlamaRunner
{
    private const int BatchShareRows = 4;

    private readonly DecodeAttentionBatch _batch = new();
    private readonly HashSet<KvSequence> _distinct = new(ReferenceEqualityComparer.Instance);
    private float[] _batchLogits = [];
    private int[] _positions = [];

    /// <summary>Appends one token to each of several sequences and gives the logits of their next ones: the weights are read once for all.</summary>
    /// <param name="sequences">1 or more different sequences of any lengths, whose tokens are in their caches.</param>
    /// <param name="tokens">One token for each.</param>
    /// <returns>
    /// <c>[sequence][vocabulary]</c>, valid until the next call. Each row and each cache has the bits that <see cref="Decode"/> gives that
    /// sequence alone, whatever else is in the batch.
    /// </returns>
    /// <exception cref="ArgumentException">
    /// There is none, or one twice, or not one token for each; a token or a cache's layout does not fit the model, or its positions are exceeded.
    /// </exception>
    /// <exception cref="InvalidOperationException">The cache has too few free blocks; nothing was written.</exception>
    public ReadOnlySpan<float> DecodeBatch(ReadOnlySpan<KvSequence> sequences, ReadOnlySpan<int> tokens)
    {
        PrepareBatch(sequences, tokens);
        int rows = sequences.Length, block = BatchBlockRows(rows), blocks = (rows + block - 1) / block;
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            LlamaLayerWeights weights = _weights.Layers[layer];
            _workers.Run(blocks, (worker, item) => ProjectBatchRows(weights, _scratch[worker], item * block, Math.Min(block, rows - item * block)));
            for (int i = 0; i < rows; i++)
            {
                int at = i * _config.KvWidth;
                sequences[i].WriteRows(layer, _positions[i], _keys.AsSpan(at, _config.KvWidth), _values.AsSpan(at, _config.KvWidth));
            }

            _batch.Run(layer, _config.QueryHeads, _queries.AsSpan(0, rows * _config.QueryWidth), default,
                _attended.AsSpan(0, rows * _config.QueryWidth), _logSumExp.AsSpan(0, rows * _config.QueryHeads), _workers);
            _workers.Run(blocks, (worker, item) => FinishRows(weights, _scratch[worker], item * block, Math.Min(block, rows - item * block)));
        }

        foreach (KvSequence sequence in sequences) sequence.Advance(1);
        DecodedTokens += rows;
        _batch.Clear();
        _workers.Run(blocks, (worker, item) => BatchLogits(_scratch[worker], item * block, Math.Min(block, rows - item * block)));
        return _batchLogits.AsSpan(0, rows * _config.VocabularySize);
    }

    // A share for each thread, where that leaves each enough rows for one reading of the weights to pay.
    private int BatchBlockRows(int rows)
    {
        int share = (rows + Threads - 1) / Threads;
        return Math.Clamp((share + BatchShareRows - 1) / BatchShareRows * BatchShareRows, BatchShareRows, BlockRows);
    }

    // Everything is checked and reserved before the first row is written.
    private void PrepareBatch(ReadOnlySpan<KvSequence> sequences, ReadOnlySpan<int> tokens)
    {
        int rows = sequences.Length;
        if (rows == 0) throw new ArgumentException("There are 0 sequences; 1 or more are needed.", nameof(sequences));
        if (tokens.Length != rows) throw new ArgumentException($"There are {tokens.Length} tokens for {rows} sequences.", nameof(tokens));
        _distinct.Clear();
        int longest = 0;
        for (int i = 0; i < rows; i++)
        {
            ArgumentNullException.ThrowIfNull(sequences[i]);
            if (!_distinct.Add(sequences[i])) throw new ArgumentException($"Sequence {i} is in the batch already.", nameof(sequences));
            RequireRoom(sequences[i], tokens.Slice(i, 1));
            longest = Math.Max(longest, sequences[i].Tokens + 1);
        }

        _distinct.Clear();
        GrowRows(rows);
        Grow(ref _batchLogits, rows, _config.VocabularySize);
        if (_positions.Length < rows) _positions = new int[rows];
        _rotary.Reserve(longest);
        _batch.Clear();
        for (int i = 0; i < rows; i++)
        {
            _positions[i] = sequences[i].Tokens;
            _batch.Add(sequences[i], sequences[i].Tokens + 1);
        }

        Embed(tokens);
    }

    private void ProjectBatchRows(LlamaLayerWeights weights, RowScratch scratch, int first, int rows)
    {
        MultiplyRows(weights, scratch, first, rows);
        for (int r = first; r < first + rows; r++)
        {
            _rotary.Apply(_queries.AsSpan(r * _config.QueryWidth, _config.QueryWidth), _positions[r]);
            _rotary.Apply(_keys.AsSpan(r * _config.KvWidth, _config.KvWidth), _positions[r]);
        }
    }

    private void BatchLogits(RowScratch scratch, int first, int rows)
    {
        NormRows(_weights.FinalNorm, scratch, first, rows);
        PanelProduct.Multiply(scratch.Normed, _config.HiddenSize, rows, _weights.Head, _batchLogits.AsSpan(first * _config.VocabularySize), _config.VocabularySize);
    }
}
