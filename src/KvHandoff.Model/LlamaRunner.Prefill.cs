using KvHandoff.Layout;
using KvHandoff.Model.Kernels;

namespace KvHandoff.Model;

public sealed partial class LlamaRunner
{
    // Rows that one item of the projections works on: the packed panel stays in the first-level cache, the rows in the second.
    private const int BlockRows = 8 * PanelProduct.TileRows;

    /// <summary>
    /// Runs a prompt, or the next chunk of one, through the model and appends its keys and values to <paramref name="sequence"/>.
    /// </summary>
    /// <param name="sequence">Continued at its <see cref="KvSequence.Tokens"/>; of a cache with this model's layout.</param>
    /// <param name="tokens">1 or more token ids.</param>
    /// <param name="layerCompleted">
    /// Called on this thread with each layer, ascending, as soon as the rows of all <paramref name="tokens"/> of that layer are in the
    /// cache; <see cref="KvSequence.Tokens"/> counts them only after the last layer.
    /// </param>
    /// <returns>The logits after the last token; valid until the next call.</returns>
    /// <exception cref="ArgumentException">A token or the cache's layout does not fit the model, or its positions are exceeded.</exception>
    /// <exception cref="InvalidOperationException">The cache has too few free blocks; nothing was written.</exception>
    public ReadOnlySpan<float> Prefill(KvSequence sequence, ReadOnlySpan<int> tokens, Action<int>? layerCompleted = null)
    {
        RunChunk(sequence, tokens, lastRowOnly: true, layerCompleted);
        Logits(_residual.AsSpan((tokens.Length - 1) * _config.HiddenSize, _config.HiddenSize));
        return _logits;
    }

    // Leaves the output of the last layer in _residual; with lastRowOnly, only its last row.
    private void RunChunk(KvSequence sequence, ReadOnlySpan<int> tokens, bool lastRowOnly, Action<int>? layerCompleted)
    {
        Prepare(sequence, tokens);
        int start = sequence.Tokens, rows = tokens.Length;
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            LlamaLayerWeights weights = _weights.Layers[layer];
            _workers.Run(Blocks(rows), (worker, block) => ProjectRows(weights, _scratch[worker], start, block * BlockRows, Math.Min(BlockRows, rows - block * BlockRows)));
            sequence.WriteRows(layer, start, _keys.AsSpan(0, rows * _config.KvWidth), _values.AsSpan(0, rows * _config.KvWidth));
            layerCompleted?.Invoke(layer);
            // Nothing reads the last layer's other rows.
            int first = lastRowOnly && layer == _config.Layers - 1 ? rows - 1 : 0;
            int offset = first * _config.QueryWidth, elements = (rows - first) * _config.QueryWidth;
            _attention.Run(sequence, layer, start + rows, _config.QueryHeads, _queries.AsSpan(offset, elements), default,
                _attended.AsSpan(offset, elements), _logSumExp.AsSpan(0, (rows - first) * _config.QueryHeads), _workers);
            _workers.Run(Blocks(rows - first), (worker, block) =>
            {
                int at = first + block * BlockRows;
                FinishRows(weights, _scratch[worker], at, Math.Min(BlockRows, rows - at));
            });
        }

        sequence.Advance(rows);
        PrefilledTokens += rows;
    }

    private void ProjectRows(LlamaLayerWeights weights, RowScratch scratch, int start, int first, int rows)
    {
        int queryWidth = _config.QueryWidth, kvWidth = _config.KvWidth;
        MultiplyRows(weights, scratch, first, rows);
        for (int r = first; r < first + rows; r++)
        {
            _rotary.Apply(_queries.AsSpan(r * queryWidth, queryWidth), start + r);
            _rotary.Apply(_keys.AsSpan(r * kvWidth, kvWidth), start + r);
        }
    }

    // Queries, keys and values before they are turned to their positions.
    private void MultiplyRows(LlamaLayerWeights weights, RowScratch scratch, int first, int rows)
    {
        int hidden = _config.HiddenSize, queryWidth = _config.QueryWidth, kvWidth = _config.KvWidth;
        NormRows(weights.AttentionNorm, scratch, first, rows);
        PanelProduct.Multiply(scratch.Normed, hidden, rows, weights.Query, _queries.AsSpan(first * queryWidth), queryWidth);
        PanelProduct.Multiply(scratch.Normed, hidden, rows, weights.Key, _keys.AsSpan(first * kvWidth), kvWidth);
        PanelProduct.Multiply(scratch.Normed, hidden, rows, weights.Value, _values.AsSpan(first * kvWidth), kvWidth);
    }

    private void FinishRows(LlamaLayerWeights weights, RowScratch scratch, int first, int rows)
    {
        int hidden = _config.HiddenSize, intermediate = _config.IntermediateSize;
        Span<float> residual = _residual.AsSpan(first * hidden, rows * hidden), projected = scratch.Projected.AsSpan(0, rows * hidden);
        PanelProduct.Multiply(_attended.AsSpan(first * _config.QueryWidth), _config.QueryWidth, rows, weights.Output, projected, hidden);
        RowOperations.Add(residual, projected);
        NormRows(weights.FeedForwardNorm, scratch, first, rows);
        PanelProduct.Multiply(scratch.Normed, hidden, rows, weights.Gate, scratch.Gate, intermediate);
        PanelProduct.Multiply(scratch.Normed, hidden, rows, weights.Up, scratch.Up, intermediate);
        RowOperations.SwiGlu(scratch.Gate.AsSpan(0, rows * intermediate), scratch.Up.AsSpan(0, rows * intermediate));
        PanelProduct.Multiply(scratch.Gate, intermediate, rows, weights.Down, projected, hidden);
        RowOperations.Add(residual, projected);
    }

    private void NormRows(float[] norm, RowScratch scratch, int first, int rows)
    {
        int hidden = _config.HiddenSize;
        for (int r = 0; r < rows; r++)
            RowOperations.RmsNorm(_residual.AsSpan((first + r) * hidden, hidden), norm, _config.RmsNormEpsilon, scratch.Normed.AsSpan(r * hidden, hidden));
    }

    private void Logits(ReadOnlySpan<float> residual)
    {
        Span<float> normed = _scratch[0].Normed.AsSpan(0, _config.HiddenSize);
        RowOperations.RmsNorm(residual, _weights.FinalNorm, _config.RmsNormEpsilon, normed);
        PanelProduct.Multiply(normed, _config.HiddenSize, 1, _weights.Head, _logits, _config.VocabularySize);
    }

    private static int Blocks(int rows) => (rows + BlockRows - 1) / BlockRows;
}
