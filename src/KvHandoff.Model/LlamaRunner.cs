using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Model;

/// <summary>Sees the logits that follow one token of a scored text.</summary>
/// <param name="index">Index of the token within the text.</param>
/// <param name="logits">One per token of the vocabulary; valid during the call.</param>
public delegate void LogitsVisitor(int index, ReadOnlySpan<float> logits);

/// <summary>
/// Runs a model: prefills prompts into a <see cref="PagedKvCache"/> and decodes from one, token by token.
/// </summary>
/// <remarks>
/// <para>Owns its scratch memory: one thread uses a runner at a time; several runners may share a model. It keeps nothing of a sequence,
/// so one runner serves any number of them in turn.</para>
/// <para>Results have the same bits for every number of threads, and a prompt prefilled in chunks has the same bits as in one piece.
/// Decode takes another path through attention and agrees with prefill to rounding.</para>
/// </remarks>
public sealed partial class LlamaRunner
{
    private readonly LlamaConfig _config;
    private readonly LlamaWeights _weights;
    private readonly AttentionThreads _workers;
    private readonly RotaryEmbedding _rotary;
    private readonly PagedPrefillAttention _attention = new();
    private readonly RowScratch[] _scratch;
    private readonly float[] _logits;
    private float[] _residual = [], _queries = [], _keys = [], _values = [], _attended = [], _logSumExp = [];
    private KvCacheLayout? _checkedLayout;

    /// <summary>A runner of <paramref name="model"/>.</summary>
    /// <param name="model">The model; outlives the runner.</param>
    /// <param name="threads">Threads of prefill and of batches, 1 or more; 0 for one per processor. <see cref="Decode"/> uses the calling thread alone.</param>
    public LlamaRunner(LlamaModel model, int threads = 0)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Model = model;
        Threads = threads == 0 ? Environment.ProcessorCount : threads;
        _config = model.Config;
        _weights = model.Weights;
        _workers = new AttentionThreads(Threads);
        _rotary = new RotaryEmbedding(_config);
        _scratch = new RowScratch[Threads];
        for (int i = 0; i < _scratch.Length; i++) _scratch[i] = new RowScratch(_config);
        _logits = new float[_config.VocabularySize];
    }

    /// <summary>The model.</summary>
    public LlamaModel Model { get; }

    /// <summary>Threads that prefill and batches use.</summary>
    public int Threads { get; }

    /// <summary>Tokens prefilled by this runner so far.</summary>
    public long PrefilledTokens { get; private set; }

    /// <summary>Tokens decoded by this runner so far.</summary>
    public long DecodedTokens { get; private set; }

    // Checks what the caller gave, takes blocks, and makes the scratch memory large enough.
    private void Prepare(KvSequence sequence, ReadOnlySpan<int> tokens)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        RequireRoom(sequence, tokens);
        _rotary.Reserve(sequence.Tokens + tokens.Length);
        GrowRows(tokens.Length);
        Embed(tokens);
    }

    private void RequireRoom(KvSequence sequence, ReadOnlySpan<int> tokens)
    {
        if (!ReferenceEquals(_checkedLayout, sequence.Cache.Layout)) RequireFit(sequence.Cache.Layout);
        if (tokens.IsEmpty) throw new ArgumentException("There are 0 tokens; 1 or more are needed.", nameof(tokens));
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)_config.VocabularySize)
                throw new ArgumentOutOfRangeException(nameof(tokens), token, $"A token is {token}; allowed: 0 to {_config.VocabularySize - 1}.");
        }

        long total = (long)sequence.Tokens + tokens.Length;
        if (total > _config.MaxPositions)
            throw new ArgumentException($"The sequence would have {total} tokens; the model has {_config.MaxPositions} positions.", nameof(tokens));
        if (total > sequence.Capacity && !sequence.TryReserve((int)total))
        {
            throw new InvalidOperationException(
                $"The cache has no room: {total - sequence.Capacity} more tokens are needed, {sequence.Cache.FreeTokens} are free.");
        }
    }

    private void GrowRows(int rows)
    {
        Grow(ref _residual, rows, _config.HiddenSize);
        Grow(ref _queries, rows, _config.QueryWidth);
        Grow(ref _attended, rows, _config.QueryWidth);
        Grow(ref _logSumExp, rows, _config.QueryHeads);
        Grow(ref _keys, rows, _config.KvWidth);
        Grow(ref _values, rows, _config.KvWidth);
    }

    private void Embed(ReadOnlySpan<int> tokens)
    {
        for (int i = 0; i < tokens.Length; i++)
            _weights.Embedding.AsSpan(tokens[i] * _config.HiddenSize, _config.HiddenSize).CopyTo(_residual.AsSpan(i * _config.HiddenSize));
    }

    private void RequireFit(KvCacheLayout layout)
    {
        if (layout.Model != Model.Identity)
            throw new ArgumentException($"The cache belongs to {layout.Model}; the model is {Model.Identity}.", nameof(layout));
        if (layout.LayerCount != _config.Layers) throw new ArgumentException($"The cache has {layout.LayerCount} layers; the model has {_config.Layers}.", nameof(layout));
        foreach (LayerGroup group in layout.Groups)
        {
            if (group.KvHeads != _config.KvHeads || group.HeadDim != _config.HeadDim || group.Kind != AttentionKind.Full)
            {
                throw new ArgumentException(
                    $"The cache has {group.Kind} layers of {group.KvHeads} kv heads x {group.HeadDim}; the model has Full layers of {_config.KvHeads} x {_config.HeadDim}.", nameof(layout));
            }
        }

        _checkedLayout = layout;
    }

    private static void Grow(ref float[] buffer, int rows, int width)
    {
        int length = checked(rows * width);
        if (buffer.Length < length) buffer = new float[length];
    }

    /// <summary>Activations of one block of rows, one per worker.</summary>
    private sealed class RowScratch(LlamaConfig config)
    {
        internal readonly float[] Normed = new float[BlockRows * config.HiddenSize], Projected = new float[BlockRows * config.HiddenSize];
        internal readonly float[] Gate = new float[BlockRows * config.IntermediateSize], Up = new float[BlockRows * config.IntermediateSize];
    }
}
