using KvHandoff.Memory;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Model.Kernels;

namespace KvHandoff.Model;

/// <summary>The weights of one layer. Projections that read the same row are packed as they are used: q, k, v apart, gate and up apart.</summary>
internal sealed record LlamaLayerWeights(float[] AttentionNorm, PackedWeights Query, PackedWeights Key, PackedWeights Value, PackedWeights Output,
    float[] FeedForwardNorm, PackedWeights Gate, PackedWeights Up, PackedWeights Down);

/// <summary>All weights of a model, packed into one slab. Immutable.</summary>
internal sealed class LlamaWeights : IDisposable
{
    private readonly NativeSlab _slab;

    private LlamaWeights(NativeSlab slab, float[] embedding, LlamaLayerWeights[] layers, float[] finalNorm, PackedWeights head)
    {
        _slab = slab;
        Embedding = embedding;
        Layers = layers;
        FinalNorm = finalNorm;
        Head = head;
    }

    /// <summary><c>[token][hidden]</c>.</summary>
    internal float[] Embedding { get; }

    internal LlamaLayerWeights[] Layers { get; }

    internal float[] FinalNorm { get; }

    /// <summary>From the hidden state to the logits.</summary>
    internal PackedWeights Head { get; }

    /// <summary>Reads and packs every tensor that the configuration asks for.</summary>
    /// <exception cref="CheckpointException">A tensor is absent or has another shape than the configuration says.</exception>
    internal static LlamaWeights Load(LlamaConfig config, CheckpointDirectory checkpoint)
    {
        // The file has the bytes of every tensor once their shapes agree: that bounds the slab before it is allocated.
        foreach ((string name, long[] shape) in ExpectedTensors(config)) checkpoint.Require(name, shape);
        NativeSlab slab = NativeSlab.Allocate(SlabBytes(config));
        try
        {
            long at = 0;
            PackedWeights Pack(string name, int outputs, int inputs) =>
                PackedWeights.Pack(checkpoint.Read(name, outputs, inputs), outputs, inputs, slab, ref at);

            float[] embedding = checkpoint.Read("model.embed_tokens.weight", config.VocabularySize, config.HiddenSize);
            var layers = new LlamaLayerWeights[config.Layers];
            for (int i = 0; i < layers.Length; i++)
            {
                string prefix = $"model.layers.{i}.";
                layers[i] = new LlamaLayerWeights(
                    checkpoint.Read(prefix + "input_layernorm.weight", config.HiddenSize),
                    Pack(prefix + "self_attn.q_proj.weight", config.QueryWidth, config.HiddenSize),
                    Pack(prefix + "self_attn.k_proj.weight", config.KvWidth, config.HiddenSize),
                    Pack(prefix + "self_attn.v_proj.weight", config.KvWidth, config.HiddenSize),
                    Pack(prefix + "self_attn.o_proj.weight", config.HiddenSize, config.QueryWidth),
                    checkpoint.Read(prefix + "post_attention_layernorm.weight", config.HiddenSize),
                    Pack(prefix + "mlp.gate_proj.weight", config.IntermediateSize, config.HiddenSize),
                    Pack(prefix + "mlp.up_proj.weight", config.IntermediateSize, config.HiddenSize),
                    Pack(prefix + "mlp.down_proj.weight", config.HiddenSize, config.IntermediateSize));
            }

            float[] finalNorm = checkpoint.Read("model.norm.weight", config.HiddenSize);
            PackedWeights head = config.TieWordEmbeddings
                ? PackedWeights.Pack(embedding, config.VocabularySize, config.HiddenSize, slab, ref at)
                : Pack("lm_head.weight", config.VocabularySize, config.HiddenSize);
            return new LlamaWeights(slab, embedding, layers, finalNorm, head);
        }
        catch
        {
            slab.Dispose();
            throw;
        }
    }

    public void Dispose() => _slab.Dispose();

    /// <summary>Names and shapes of the tensors that the configuration asks for.</summary>
    internal static IEnumerable<(string Name, long[] Shape)> ExpectedTensors(LlamaConfig config)
    {
        yield return ("model.embed_tokens.weight", [config.VocabularySize, config.HiddenSize]);
        for (int i = 0; i < config.Layers; i++)
        {
            string prefix = $"model.layers.{i}.";
            yield return (prefix + "input_layernorm.weight", [config.HiddenSize]);
            yield return (prefix + "self_attn.q_proj.weight", [config.QueryWidth, config.HiddenSize]);
            yield return (prefix + "self_attn.k_proj.weight", [config.KvWidth, config.HiddenSize]);
            yield return (prefix + "self_attn.v_proj.weight", [config.KvWidth, config.HiddenSize]);
            yield return (prefix + "self_attn.o_proj.weight", [config.HiddenSize, config.QueryWidth]);
            yield return (prefix + "post_attention_layernorm.weight", [config.HiddenSize]);
            yield return (prefix + "mlp.gate_proj.weight", [config.IntermediateSize, config.HiddenSize]);
            yield return (prefix + "mlp.up_proj.weight", [config.IntermediateSize, config.HiddenSize]);
            yield return (prefix + "mlp.down_proj.weight", [config.HiddenSize, config.IntermediateSize]);
        }

        yield return ("model.norm.weight", [config.HiddenSize]);
        if (!config.TieWordEmbeddings) yield return ("lm_head.weight", [config.VocabularySize, config.HiddenSize]);
    }

    private static long SlabBytes(LlamaConfig config)
    {
        int hidden = config.HiddenSize;
        long layer = PackedWeights.RequiredBytes(hidden, config.QueryWidth) + 2 * PackedWeights.RequiredBytes(hidden, config.KvWidth)
            + PackedWeights.RequiredBytes(config.QueryWidth, hidden) + 2 * PackedWeights.RequiredBytes(hidden, config.IntermediateSize)
            + PackedWeights.RequiredBytes(config.IntermediateSize, hidden);
        return checked(layer * config.Layers + PackedWeights.RequiredBytes(hidden, config.VocabularySize));
    }
}
