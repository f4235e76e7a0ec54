namespace KvHandoff.Layout;

public static partial class EngineLayouts
{
    /// <summary>
    /// SGLang's MHATokenToKVPool: per layer k_buffer and v_buffer of (size + page_size, head_num, head_dim). A page is a block, and token
    /// slot i is slot i % page_size of page i / page_size.
    /// </summary>
    /// <param name="shape">The cache.</param>
    /// <param name="pageTokens">SGLang's page_size: 1 by default.</param>
    /// <remarks><c>python/sglang/srt/mem_cache/memory_pool.py</c>: MHATokenToKVPool._create_buffers, get_contiguous_buf_infos.</remarks>
    public static LayerGroup SglangTokenPool(EngineCacheShape shape, int pageTokens = 1) =>
        Group(shape, DimensionOrder.TokenMajor, pageTokens, scaledFp8: true);

    /// <summary>The pool over the buffers of every layer. Page 0 takes SGLang's dummy writes and is not granted.</summary>
    /// <param name="group">A group of <see cref="SglangTokenPool"/>.</param>
    /// <param name="keys">k_buffer of each layer.</param>
    /// <param name="values">v_buffer of each layer.</param>
    /// <param name="size">SGLang's size in tokens, a multiple of the page; the buffers have one page more.</param>
    public static KvBlockPool SglangTokenPoolBlocks(LayerGroup group, ReadOnlySpan<EngineTensor> keys, ReadOnlySpan<EngineTensor> values, int size) =>
        WithoutBlockZero(KeysAndValues(group, keys, values, Pages(group, size)));

    /// <summary>SGLang's MLATokenToKVPool: per layer one kv_buffer of (size + page_size, 1, kv_lora_rank + qk_rope_head_dim).</summary>
    /// <param name="shape">The cache, with 1 kv head.</param>
    /// <param name="pageTokens">SGLang's page_size: 64 with FlashMLA.</param>
    /// <remarks><c>python/sglang/srt/mem_cache/memory_pool.py</c>: MLATokenToKVPool.</remarks>
    public static LayerGroup SglangLatentPool(EngineCacheShape shape, int pageTokens = 1) =>
        Group(shape, DimensionOrder.TokenMajor, pageTokens, scaledFp8: false, latent: true);

    /// <summary>The pool over the buffer of every layer. Page 0 is not granted.</summary>
    /// <param name="group">A group of <see cref="SglangLatentPool"/>.</param>
    /// <param name="buffers">kv_buffer of each layer.</param>
    /// <param name="size">SGLang's size in tokens, a multiple of the page.</param>
    public static KvBlockPool SglangLatentPoolBlocks(LayerGroup group, ReadOnlySpan<EngineTensor> buffers, int size) =>
        WithoutBlockZero(Blocks(group, buffers, Pages(group, size)));

    private static int Pages(LayerGroup group, int size)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        return size % group.BlockTokens == 0
            ? size / group.BlockTokens + 1
            : throw new ArgumentException($"A pool of {size} tokens is no whole number of pages of {group.BlockTokens}.", nameof(size));
    }
}
