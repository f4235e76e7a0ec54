using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Model;

public sealed partial class LlamaRunner
{
    /// <summary>Appends one token to a sequence and gives the logits of the next.</summary>
    /// <param name="sequence">A sequence whose tokens before this one are in the cache, or arrive layer by layer.</param>
    /// <param name="token">The token.</param>
    /// <param name="beforeLayer">
    /// Called with each layer, ascending, before its rows are read or written: it returns when they have landed, so that the first step
    /// can start on layer 0 while later layers are still on the way. If it throws, the sequence is not advanced.
    /// </param>
    /// <returns>The logits after <paramref name="token"/>; valid until the next call.</returns>
    /// <exception cref="ArgumentException">The token or the cache's layout does not fit the model, or its positions are exceeded.</exception>
    /// <exception cref="InvalidOperationException">The cache has no free block; nothing was written.</exception>
    public ReadOnlySpan<float> Decode(KvSequence sequence, int token, Action<int>? beforeLayer = null)
    {
        Prepare(sequence, [token]);
        int position = sequence.Tokens;
        RowScratch scratch = _scratch[0];
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            beforeLayer?.Invoke(layer);
            LlamaLayerWeights weights = _weights.Layers[layer];
            ProjectRows(weights, scratch, position, 0, 1);
            sequence.WriteRows(layer, position, _keys.AsSpan(0, _config.KvWidth), _values.AsSpan(0, _config.KvWidth));
            PagedDecodeAttention.Run(sequence.View(layer, position + 1), _config.QueryHeads, _queries.AsSpan(0, _config.QueryWidth),
                new AttentionOptions(), _attended.AsSpan(0, _config.QueryWidth), _logSumExp.AsSpan(0, _config.QueryHeads));
            FinishRows(weights, scratch, 0, 1);
        }

        sequence.Advance(1);
        DecodedTokens++;
        Logits(_residual.AsSpan(0, _config.HiddenSize));
        return _logits;
    }
}
