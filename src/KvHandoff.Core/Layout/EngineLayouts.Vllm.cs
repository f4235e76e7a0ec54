namespace KvHandoff.Layout;

public static partial class EngineLayouts
{
    /// <summary>
    /// vLLM with FlashAttention or Triton attention: per layer one tensor (2, num_blocks, block_size, num_kv_heads, head_size), K and V
    /// apart; with layout HND, (2, num_blocks, num_kv_heads, block_size, head_size) in memory.
    /// </summary>
    /// <param name="shape">The cache.</param>
    /// <param name="blockTokens">vLLM's block_size, a multiple of 16.</param>
    /// <param name="headMajor">VLLM_KV_CACHE_LAYOUT=HND.</param>
    /// <remarks><c>vllm/v1/attention/backends/flash_attn.py</c>: get_kv_cache_shape, get_kv_cache_stride_order.</remarks>
    public static LayerGroup VllmFlashAttention(EngineCacheShape shape, int blockTokens = 16, bool headMajor = false) =>
        Group(shape, headMajor ? DimensionOrder.PlaneHeadMajor : DimensionOrder.TokenMajor, blockTokens, scaledFp8: true);

    /// <summary>The pool over one such tensor per layer. Block 0, vLLM's null block, is not granted.</summary>
    public static KvBlockPool VllmFlashAttentionPool(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks) =>
        WithoutBlockZero(PlanesThenBlocks(group, layers, blocks));

    /// <summary>
    /// vLLM with FlashInfer: per layer one tensor (num_blocks, 2, block_size, num_kv_heads, head_size), K and V of a block together; with
    /// layout HND, (num_blocks, 2, num_kv_heads, block_size, head_size) in memory.
    /// </summary>
    /// <param name="shape">The cache.</param>
    /// <param name="blockTokens">vLLM's block_size: 16, 32 or 64.</param>
    /// <param name="headMajor">VLLM_KV_CACHE_LAYOUT=HND.</param>
    /// <remarks><c>vllm/v1/attention/backends/flashinfer.py</c>: get_kv_cache_shape, get_kv_cache_stride_order.</remarks>
    public static LayerGroup VllmFlashInfer(EngineCacheShape shape, int blockTokens = 16, bool headMajor = false) =>
        VllmFlashAttention(shape, blockTokens, headMajor);

    /// <summary>The pool over one such tensor per layer. Block 0 is not granted.</summary>
    public static KvBlockPool VllmFlashInferPool(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks) =>
        WithoutBlockZero(Blocks(group, layers, blocks));

    /// <summary>
    /// The pool over one tensor for all layers, (num_blocks, num_layers, 2, block_size, num_kv_heads, head_size), as vLLM allocates it for
    /// connectors that ask for blocks across layers, in layout NHD. Block 0 is not granted.
    /// </summary>
    /// <remarks><c>flash_attn.py</c>: get_kv_cache_stride_order(include_num_layers_dimension=True). Its HND form puts heads before layers,
    /// which no <see cref="DimensionOrder"/> says.</remarks>
    public static KvBlockPool VllmCrossLayerPool(LayerGroup group, EngineTensor tensor, int blocks) =>
        WithoutBlockZero(BlocksThenLayers(group, tensor, blocks));

    /// <summary>
    /// vLLM's PagedAttention kernels: per layer one tensor (2, num_blocks, block_size * num_kv_heads * head_size), seen as
    /// key_cache [num_blocks, num_kv_heads, head_size / x, block_size, x] with x = 16 / element size, and
    /// value_cache [num_blocks, num_kv_heads, head_size, block_size].
    /// </summary>
    /// <param name="shape">The cache; rows are a multiple of 16 bytes.</param>
    /// <param name="blockTokens">vLLM's block_size.</param>
    /// <remarks><c>vllm/attention/ops/paged_attn.py</c>: get_kv_cache_shape, split_kv_cache.</remarks>
    public static LayerGroup VllmPagedAttention(EngineCacheShape shape, int blockTokens = 16) =>
        Group(shape, DimensionOrder.PackedKey, blockTokens, scaledFp8: true);

    /// <summary>The pool over one such tensor per layer.</summary>
    public static KvBlockPool VllmPagedAttentionPool(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks) =>
        PlanesThenBlocks(group, layers, blocks);

    /// <summary>
    /// vLLM's MLA backends: per layer one tensor (num_blocks, block_size, head_size), with head_size 576 for DeepSeek. The format
    /// fp8_ds_mla (656 bytes a token, its scales within) is not this one.
    /// </summary>
    /// <param name="shape">The cache, with 1 kv head.</param>
    /// <param name="blockTokens">vLLM's block_size: 64 with FlashMLA.</param>
    /// <remarks><c>vllm/v1/attention/backends/mla/common.py</c>: MLACommonBackend.get_kv_cache_shape.</remarks>
    public static LayerGroup VllmLatent(EngineCacheShape shape, int blockTokens = 64) =>
        Group(shape, DimensionOrder.TokenMajor, blockTokens, scaledFp8: true, latent: true);

    /// <summary>The pool over one such tensor per layer. Block 0 is not granted.</summary>
    public static KvBlockPool VllmLatentPool(LayerGroup group, ReadOnlySpan<EngineTensor> layers, int blocks) =>
        WithoutBlockZero(Blocks(group, layers, blocks));
}
