namespace KvHandoff.Layout;

public static partial class EngineLayouts
{
    /// <summary>
    /// NxD Inference on Neuron, not paged: per layer a K and a V tensor (max_batch_size, num_kv_heads, max_length, head_dim). A block is the
    /// whole line of a sequence. With a transposed K cache, K is (max_batch_size, num_kv_heads, head_dim, max_length).
    /// </summary>
    /// <param name="shape">The cache of one rank.</param>
    /// <param name="maxLength">NeuronConfig.max_length.</param>
    /// <param name="transposedKey">NeuronConfig.k_cache_transposed.</param>
    /// <remarks>
    /// <c>src/neuronx_distributed_inference/modules/kvcache/kv_cache_manager.py</c>: _init_kv_shape, and get_kv_shapes of <c>utils.py</c>.
    /// kv_cache_tiling writes the same bytes: the sequence is split into two dimensions that lie in its order. kv_cache_quant casts to FP8
    /// without a scale. Sequences are padded on the right.
    /// </remarks>
    public static LayerGroup NeuronContiguous(EngineCacheShape shape, int maxLength, bool transposedKey = false) =>
        Group(shape, transposedKey ? DimensionOrder.TransposedKey : DimensionOrder.PlaneHeadMajor, maxLength, scaledFp8: false);

    /// <summary>
    /// NxD Inference with prefix caching: per layer a K and a V tensor (pa_num_blocks + 1, pa_block_size, num_kv_heads, head_dim); the last
    /// block takes what padding writes. Block tiling splits pa_block_size in two and writes the same bytes.
    /// </summary>
    /// <param name="shape">The cache of one rank.</param>
    /// <param name="blockTokens">NeuronConfig.pa_block_size.</param>
    /// <remarks><c>block_kv_cache_manager.py</c>: _init_kv_shape_for_prefix_caching.</remarks>
    public static LayerGroup NeuronPrefixCaching(EngineCacheShape shape, int blockTokens = 32) =>
        Group(shape, DimensionOrder.TokenMajor, blockTokens, scaledFp8: false);

    /// <summary>NxD Inference with chunked prefill: per layer a K and a V tensor (pa_num_blocks, num_kv_heads, pa_block_size, head_dim).</summary>
    /// <param name="shape">The cache of one rank.</param>
    /// <param name="blockTokens">NeuronConfig.pa_block_size.</param>
    /// <remarks><c>block_kv_cache_manager.py</c>: _init_kv_shape_for_chunked_prefill.</remarks>
    public static LayerGroup NeuronChunkedPrefill(EngineCacheShape shape, int blockTokens = 32) =>
        Group(shape, DimensionOrder.PlaneHeadMajor, blockTokens, scaledFp8: false);

    /// <summary>The pool over the K and the V tensor of every layer, for each of these groups.</summary>
    /// <param name="group">The group.</param>
    /// <param name="keys">K of each layer: past_key_values[2 * layer].</param>
    /// <param name="values">V of each layer: past_key_values[2 * layer + 1].</param>
    /// <param name="blocks">max_batch_size of a cache that is not paged, else pa_num_blocks.</param>
    public static KvBlockPool NeuronPool(LayerGroup group, ReadOnlySpan<EngineTensor> keys, ReadOnlySpan<EngineTensor> values, int blocks) =>
        KeysAndValues(group, keys, values, blocks);
}
