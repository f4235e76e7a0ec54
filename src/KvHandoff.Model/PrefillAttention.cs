using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Model.Kernels;
using KvHandoff.Numerics;

namespace KvHandoff.Model;

/// <summary>
/// Causal attention of a chunk of queries over the keys and values as the cache stores them, so that prefill and decode see the same
/// numbers. Keys are walked in tiles of 64 tokens from position 0 with a running softmax: a query's result has the same bits whatever
/// chunk it is part of.
/// </summary>
/// <remarks>Owned by one runner.</remarks>
internal sealed class PrefillAttention
{
    /// <summary>Queries that one item works on; a multiple of the kernel's rows.</summary>
    internal const int QueryRows = 8 * PanelProduct.TileRows;

    private const int TileTokens = 64;

    private readonly LlamaConfig _config;
    private readonly ItemWorkers _workers;
    private readonly int _paddedDim;
    private readonly Scratch[] _scratch;
    private float[] _keys = [], _values = [];

    internal PrefillAttention(LlamaConfig config, ItemWorkers workers)
    {
        _config = config;
        _workers = workers;
        _paddedDim = (config.HeadDim + PanelProduct.PanelColumns - 1) / PanelProduct.PanelColumns * PanelProduct.PanelColumns;
        _scratch = new Scratch[workers.Count];
        for (int i = 0; i < _scratch.Length; i++) _scratch[i] = new Scratch(config.HeadDim);
    }

    /// <summary>
    /// Attends from <paramref name="rows"/> queries, the first of which stands at <paramref name="start"/>; the rows of
    /// <paramref name="layer"/> are in the cache up to and including the last one.
    /// </summary>
    /// <param name="sequence">The sequence.</param>
    /// <param name="layer">The model's layer.</param>
    /// <param name="start">Position of the first query.</param>
    /// <param name="rows">Queries.</param>
    /// <param name="queries"><c>[token][head][dim]</c>, rotated.</param>
    /// <param name="output">Same shape.</param>
    internal void Run(KvSequence sequence, int layer, int start, int rows, Memory<float> queries, Memory<float> output)
    {
        int total = start + rows, tiles = (total + TileTokens - 1) / TileTokens;
        Reserve(tiles);
        _workers.Run(_config.KvHeads * tiles, (_, item) => Stage(sequence.View(layer, total), item / tiles, item % tiles, tiles));
        int blocks = (rows + QueryRows - 1) / QueryRows, heads = _config.QueryHeads;
        // Last blocks first: they look back furthest, and short items at the end keep the threads busy.
        _workers.Run(blocks * heads, (worker, item) =>
        {
            int first = (blocks - 1 - item / heads) * QueryRows;
            Attend(_scratch[worker], item % heads, start + first, Math.Min(QueryRows, rows - first), tiles,
                queries.Span[(first * _config.QueryWidth)..], output.Span[(first * _config.QueryWidth)..]);
        });
    }

    private void Reserve(int tiles)
    {
        int keys = checked(_config.KvHeads * tiles * TileTokens * _config.HeadDim), values = checked(_config.KvHeads * tiles * TileTokens * _paddedDim);
        if (_keys.Length < keys) _keys = new float[keys];
        if (_values.Length < values) _values = new float[values];
    }

    // Keys as [tile][dim][token], values as [token][dim]: each is the right-hand side of a product. Tokens past the end are zeros.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Stage(KvLayerView view, int head, int tile, int tiles)
    {
        int dim = _config.HeadDim, tokens = Math.Min(TileTokens, view.Tokens - tile * TileTokens);
        Span<float> keys = _keys.AsSpan((head * tiles + tile) * TileTokens * dim, TileTokens * dim);
        Span<float> values = _values.AsSpan((head * tiles + tile) * TileTokens * _paddedDim, TileTokens * _paddedDim);
        float[] scratch = ArrayPool<float>.Shared.Rent(tokens * dim);
        Span<float> rows = scratch.AsSpan(0, tokens * dim);
        var staged = new RowRuns(MemoryMarshal.AsBytes(rows), dim * sizeof(float));
        keys.Clear();
        values.Clear();
        StoredRows.Unpack(view, head, KvPlane.Key, tile * TileTokens, staged, ElementType.Float32);
        for (int t = 0; t < tokens; t++)
        {
            for (int d = 0; d < dim; d++) keys[d * TileTokens + t] = rows[t * dim + d];
        }

        StoredRows.Unpack(view, head, KvPlane.Value, tile * TileTokens, staged, ElementType.Float32);
        for (int t = 0; t < tokens; t++) rows.Slice(t * dim, dim).CopyTo(values[(t * _paddedDim)..]);
        ArrayPool<float>.Shared.Return(scratch);
    }

    private void Attend(Scratch scratch, int head, int position, int rows, int tiles, ReadOnlySpan<float> queries, Span<float> output)
    {
        int dim = _config.HeadDim, width = _config.QueryWidth, kvHead = head / _config.GroupSize;
        float scale = 1 / MathF.Sqrt(dim);
        Span<float> scores = scratch.Scores, sums = scratch.Sums, maxima = scratch.Maxima, weighted = scratch.Weighted;
        sums.Clear();
        weighted.Clear();
        maxima.Fill(float.NegativeInfinity);
        for (int tile = 0; tile * TileTokens < position + rows; tile++)
        {
            int tileStart = tile * TileTokens;
            // Rows that stand before the tile see nothing of it.
            int from = Math.Max(0, tileStart - position), seeing = rows - from;
            int visible = Math.Min(TileTokens, position + rows - tileStart);
            ReadOnlySpan<float> keys = _keys.AsSpan((kvHead * tiles + tile) * TileTokens * dim, TileTokens * dim);
            ReadOnlySpan<float> values = _values.AsSpan((kvHead * tiles + tile) * TileTokens * _paddedDim, TileTokens * _paddedDim);
            Span<float> tileScores = scores[(from * TileTokens)..];
            PanelProduct.Multiply(queries[(from * width + head * dim)..], width, seeing, dim, keys, TileTokens, TileTokens, tileScores, TileTokens, accumulate: false);
            for (int r = from; r < rows; r++)
            {
                Span<float> row = scores.Slice(r * TileTokens, TileTokens);
                RowOperations.Scale(row, scale);
                int past = position + r - tileStart + 1;
                if (past < TileTokens) row[past..].Fill(float.NegativeInfinity);
                float max = MathF.Max(maxima[r], RowOperations.Max(row));
                float kept = MathF.Exp(maxima[r] - max);
                sums[r] = sums[r] * kept + RowOperations.ExponentialsBelow(row, max);
                if (kept != 1) RowOperations.Scale(weighted.Slice(r * dim, dim), kept);
                maxima[r] = max;
            }

            PanelProduct.Multiply(tileScores, TileTokens, seeing, visible, values, _paddedDim, dim, weighted[(from * dim)..], dim, accumulate: true);
        }

        for (int r = 0; r < rows; r++)
        {
            Span<float> row = weighted.Slice(r * dim, dim);
            RowOperations.Scale(row, 1 / sums[r]);
            row.CopyTo(output.Slice(r * width + head * dim, dim));
        }
    }

    private sealed class Scratch(int headDim)
    {
        internal readonly float[] Scores = new float[QueryRows * TileTokens], Weighted = new float[QueryRows * headDim];
        internal readonly float[] Sums = new float[QueryRows], Maxima = new float[QueryRows];
    }
}
