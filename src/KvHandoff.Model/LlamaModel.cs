using KvHandoff.Layout;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Numerics;

namespace KvHandoff.Model;

/// <summary>
/// A Llama-architecture model in memory: configuration, weights and the identity that its caches carry. Weights are computed with in
/// fp32, whatever the checkpoint's type.
/// </summary>
/// <remarks>Immutable and thread-safe; each thread that runs it has its own <see cref="LlamaRunner"/>.</remarks>
public sealed class LlamaModel : IDisposable
{
    // A packed matrix is addressed by one span, a checkpoint tensor by one array.
    private const long MaxMatrixBytes = int.MaxValue;

    private LlamaModel(LlamaConfig config, LlamaWeights weights, ModelIdentity identity)
    {
        Config = config;
        Weights = weights;
        Identity = identity;
    }

    /// <summary>The hyperparameters.</summary>
    public LlamaConfig Config { get; }

    /// <summary>Name, SHA-256 of the weights, rotary base and scaling.</summary>
    public ModelIdentity Identity { get; }

    internal LlamaWeights Weights { get; }

    /// <summary>Loads <c>config.json</c> and the safetensors files of a directory.</summary>
    /// <exception cref="CheckpointException">A file is absent or malformed, or the tensors do not have the shapes that the configuration says.</exception>
    public static LlamaModel Load(string directory)
    {
        string configPath = Path.Combine(directory, "config.json");
        LlamaConfig config = LlamaConfig.Load(configPath);
        RequireAddressable(configPath, config);
        using CheckpointDirectory checkpoint = CheckpointDirectory.Open(directory);
        LlamaWeights weights = LlamaWeights.Load(config, checkpoint);
        return new LlamaModel(config, weights, new ModelIdentity(config.Name, checkpoint.ComputeRevision(), config.RopeTheta, config.RopeScaling?.ToString() ?? ""));
    }

    /// <summary>The layout of a cache for this model.</summary>
    /// <param name="elementType">Type of the stored keys and values.</param>
    /// <param name="blockTokens">Tokens per block, 1 to 256.</param>
    /// <param name="order">Order of the rows in a block.</param>
    /// <exception cref="KvLayoutException">A value is out of range.</exception>
    public KvCacheLayout CreateLayout(ElementType elementType = ElementType.BFloat16, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor) =>
        KvCacheLayout.Uniform(Identity, Config.Layers, Config.KvHeads, Config.HeadDim, elementType, blockTokens, order);

    /// <summary>Frees the weights. No runner may be in use.</summary>
    public void Dispose() => Weights.Dispose();

    // Bounded before anything is allocated: the widths come from a file.
    private static void RequireAddressable(string file, LlamaConfig config)
    {
        long widest = new long[] { config.QueryWidth, config.KvWidth, config.IntermediateSize, config.VocabularySize }.Max();
        long bytes = (widest + Kernels.PanelProduct.PanelColumns) * (config.HiddenSize + Kernels.PanelProduct.PanelColumns) * sizeof(float);
        if (bytes > MaxMatrixBytes) throw new CheckpointException(file, "largest matrix", $"at most {MaxMatrixBytes} bytes", $"{bytes} bytes");
    }
}
