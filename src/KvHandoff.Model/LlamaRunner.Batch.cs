using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Model;

public sealed partial class LlamaRunner
{
    // Below, a second thread made steps 1 to 3 % shorter and took nearly as much processor time again.
    private const int TokensOfOneThread = 512;

    private readonly DecodeAttentionBatch _batch = new();
    private readonly HashSet<KvSequence> _distinct = new(ReferenceEqualityComparer.Instance);
    private float[] _batchLogits = [];
    private int[] _positions = [];
    private long _batchReads;

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
        int rows = sequences.Length;
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            ProjectBatch(_weights.Layers[layer], rows);
            for (int i = 0; i < rows; i++)
            {
                int query = i * _config.QueryWidth, key = i * _config.KvWidth;
                _rotary.Apply(_queries.AsSpan(query, _config.QueryWidth), _positions[i]);
                _rotary.Apply(_keys.AsSpan(key, _config.KvWidth), _positions[i]);
                sequences[i].WriteRows(layer, _positions[i], _keys.AsSpan(key, _config.KvWidth), _values.AsSpan(key, _config.KvWidth));
            }

            _batch.Run(layer, _config.QueryHeads, _queries.AsSpan(0, rows * _config.QueryWidth), default,
                _attended.AsSpan(0, rows * _config.QueryWidth), _logSumExp.AsSpan(0, rows * _config.QueryHeads), _batchReads > TokensOfOneThread ? _workers : null);
            FinishBatch(_weights.Layers[layer], rows);
        }

        foreach (KvSequence sequence in sequences) sequence.Advance(1);
        DecodedTokens += rows;
        _batch.Clear();
        BatchLogits(rows);
        return _batchLogits.AsSpan(0, rows * _config.VocabularySize);
    }

    // Everything is checked and reserved before the first row is written.
    private void PrepareBatch(ReadOnlySpan<KvSequence> sequences, ReadOnlySpan<int> tokens)
    {
        int rows = sequences.Length;
        if (rows == 0) throw new ArgumentException("There are 0 sequences; 1 or more are needed.", nameof(sequences));
        if (tokens.Length != rows) throw new ArgumentException($"There are {tokens.Length} tokens for {rows} sequences.", nameof(tokens));
        _distinct.Clear();
        (int longest, _batchReads) = (0, 0);
        for (int i = 0; i < rows; i++)
        {
            ArgumentNullException.ThrowIfNull(sequences[i]);
            if (!_distinct.Add(sequences[i])) throw new ArgumentException($"Sequence {i} is in the batch already.", nameof(sequences));
            RequireRoom(sequences[i], tokens.Slice(i, 1));
            longest = Math.Max(longest, sequences[i].Tokens + 1);
            _batchReads += sequences[i].Tokens + 1;
        }

        _distinct.Clear();
        GrowRows(rows);
        GrowBatch(rows);
        _rotary.Reserve(longest);
        _batch.Clear();
        for (int i = 0; i < rows; i++)
        {
            _positions[i] = sequences[i].Tokens;
            _batch.Add(sequences[i], sequences[i].Tokens + 1);
        }

        Embed(tokens);
    }

    private void GrowBatch(int rows)
    {
        Grow(ref _batchLogits, rows, _config.VocabularySize);
        Grow(ref _batchNormed, rows, _config.HiddenSize);
        Grow(ref _batchProjected, rows, _config.HiddenSize);
        Grow(ref _batchGate, rows, _config.IntermediateSize);
        Grow(ref _batchUp, rows, _config.IntermediateSize);
        if (_positions.Length < rows) _positions = new int[rows];
    }
}
