using KvHandoff.Model.Kernels;

namespace KvHandoff.Model;

// The products of a batch. Threads share them by columns: each reads its part of the weights alone, and all rows meet it while it is in
// the cache. Shared by rows, every thread would read all weights.
public sealed partial class LlamaRunner
{
    // Four panels: what a row that is in no tile takes at once.
    private const int ShareColumns = 4 * PanelProduct.PanelColumns;

    // Up to here the products wait for the weights: four rows take about the time of one.
    private const int RowsOfOneThread = 4;

    private float[] _batchNormed = [], _batchProjected = [], _batchGate = [], _batchUp = [];

    // Queries, keys and values before they are turned to their positions.
    private void ProjectBatch(LlamaLayerWeights weights, int rows)
    {
        NormBatch(weights.AttentionNorm, rows);
        int queries = Shares(_config.QueryWidth), keys = Shares(_config.KvWidth);
        RunShares(rows, queries + 2 * keys, (_, share) =>
        {
            if (share < queries) MultiplyShare(_batchNormed, weights.Query, share, rows, _queries);
            else if (share < queries + keys) MultiplyShare(_batchNormed, weights.Key, share - queries, rows, _keys);
            else MultiplyShare(_batchNormed, weights.Value, share - queries - keys, rows, _values);
        });
    }

    private void FinishBatch(LlamaLayerWeights weights, int rows)
    {
        RunShares(rows, Shares(_config.HiddenSize), (_, share) => AddShare(_attended, weights.Output, share, rows));
        NormBatch(weights.FeedForwardNorm, rows);
        RunShares(rows, Shares(_config.IntermediateSize), (_, share) =>
        {
            MultiplyShare(_batchNormed, weights.Gate, share, rows, _batchGate);
            MultiplyShare(_batchNormed, weights.Up, share, rows, _batchUp);
            for (int r = 0; r < rows; r++) RowOperations.SwiGlu(OfShare(_batchGate, _config.IntermediateSize, r, share), OfShare(_batchUp, _config.IntermediateSize, r, share));
        });
        RunShares(rows, Shares(_config.HiddenSize), (_, share) => AddShare(_batchGate, weights.Down, share, rows));
    }

    private void BatchLogits(int rows)
    {
        NormBatch(_weights.FinalNorm, rows);
        RunShares(rows, Shares(_config.VocabularySize), (_, share) => MultiplyShare(_batchNormed, _weights.Head, share, rows, _batchLogits));
    }

    private void NormBatch(float[] norm, int rows)
    {
        int hidden = _config.HiddenSize;
        for (int r = 0; r < rows; r++)
            RowOperations.RmsNorm(_residual.AsSpan(r * hidden, hidden), norm, _config.RmsNormEpsilon, _batchNormed.AsSpan(r * hidden, hidden));
    }

    private static void MultiplyShare(float[] input, PackedWeights weights, int share, int rows, float[] output) =>
        PanelProduct.Multiply(input, weights.Depth, rows, weights, share * ShareColumns, ShareColumns, output, weights.Columns);

    private void AddShare(float[] input, PackedWeights weights, int share, int rows)
    {
        MultiplyShare(input, weights, share, rows, _batchProjected);
        for (int r = 0; r < rows; r++) RowOperations.Add(OfShare(_residual, weights.Columns, r, share), OfShare(_batchProjected, weights.Columns, r, share));
    }

    private static Span<float> OfShare(float[] rows, int width, int row, int share) =>
        rows.AsSpan(row * width + share * ShareColumns, Math.Min(ShareColumns, width - share * ShareColumns));

    private static int Shares(int columns) => (columns + ShareColumns - 1) / ShareColumns;

    private void RunShares(int rows, int shares, Action<int, int> body)
    {
        if (rows > RowsOfOneThread) _workers.Run(shares, body);
        else for (int share = 0; share < shares; share++) body(0, share);
    }
}
