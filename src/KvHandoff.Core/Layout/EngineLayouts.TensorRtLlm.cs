namespace KvHandoff.Layout;

public static partial class EngineLayouts
{
    /// <summary>
    /// TensorRT-LLM: one pool for all layers of a window size, {num_blocks, num_layers, 2, block}, where a block of K or of V is
    /// [num_kv_heads, tokens_per_block, head_dim].
    /// </summary>
    /// <param name="shape">The cache.</param>
    /// <param name="tokensPerBlock">A power of two: 32 by default, 64 in older releases.</param>
    /// <param name="tokenMajor">Where the attention backend reads the blocks as [tokens_per_block, num_kv_heads, head_dim]: get_buffers' kv_layout "NHD".</param>
    /// <remarks><c>cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp</c>: WindowBlockManager::allocatePools;
    /// <c>cpp/tensorrt_llm/kernels/kvCacheUtils.h</c>: KVBlockArray::getKVLocalIdx.</remarks>
    public static LayerGroup TensorRtLlm(EngineCacheShape shape, int tokensPerBlock = 32, bool tokenMajor = false) =>
        Group(shape, tokenMajor ? DimensionOrder.TokenMajor : DimensionOrder.PlaneHeadMajor, tokensPerBlock, scaledFp8: true);

    /// <summary>TensorRT-LLM's MLA cache: cache type SELFKONLY, {num_blocks, num_layers, 1, tokens_per_block * (kv_lora_rank + qk_rope_head_dim)}.</summary>
    /// <param name="shape">The cache, with 1 kv head.</param>
    /// <param name="tokensPerBlock">A power of two.</param>
    public static LayerGroup TensorRtLlmLatent(EngineCacheShape shape, int tokensPerBlock = 32) =>
        Group(shape, DimensionOrder.TokenMajor, tokensPerBlock, scaledFp8: true, latent: true);

    /// <summary>The pool over the primary pool tensor, for either group.</summary>
    public static KvBlockPool TensorRtLlmPool(LayerGroup group, EngineTensor pool, int blocks) => BlocksThenLayers(group, pool, blocks);

    /// <summary>
    /// The pool over a tensor [num_blocks, 2, num_kv_heads, tokens_per_block, head_dim] of its own per layer, as one layer's view of the
    /// primary pool is once it was copied out.
    /// </summary>
    public static KvBlockPool TensorRtLlmPool(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks) => Blocks(group, layers, blocks);
}
