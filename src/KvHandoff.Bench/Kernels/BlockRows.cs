using KvHandoff.Bench.Stages;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>A sequence of seeded rows in blocks of any order and form, whose slots are out of order as a busy cache leaves them.</summary>
internal sealed class BlockRows : IDisposable
{
    // Largest code of E4M3.
    private const float LargestCode = 448;

    private readonly PagedKvCache _cache;

    internal BlockRows(KernelBuffers buffers, LayerGroup group, int tokens)
    {
        Tokens = tokens;
        Layout = LayoutOf(group);
        Memory = NativeSlab.Allocate(PagedKvCache.RequiredBytes(Layout, tokens));
        _cache = PagedKvCache.Over(Layout, Memory, tokens, owned: true);
        Scatter(_cache.Pools[0]);
        Sequence = _cache.CreateSequence();
        if (!Sequence.TryReserve(tokens)) throw new InvalidOperationException($"{tokens} tokens do not fit; {_cache.FreeTokens} are free.");
        Fill(buffers, group);
        Sequence.Advance(tokens);
    }

    internal KvCacheLayout Layout { get; }

    internal KvSequence Sequence { get; }

    /// <summary>Where the blocks lie.</summary>
    internal NativeSlab Memory { get; }

    internal int Tokens { get; }

    /// <summary>A cache of this group alone.</summary>
    internal static KvCacheLayout LayoutOf(LayerGroup group) => new(new ModelIdentity("kernels", "synthesised", 500_000), [group]);

    /// <summary>Layer, granule, head, K before V.</summary>
    internal SegmentEnumerator Segments() => new(Sequence, Tokens);

    /// <summary>A group of BF16 rows, in a shape whose rows are about <see cref="KernelShape.Bytes"/> bytes.</summary>
    internal static (LayerGroup Group, int Tokens) Shaped(KernelSize size, DimensionOrder order, int blockTokens)
    {
        const int KvHeads = 8, HeadDim = 128, MemoryTokens = 4096, CacheTokens = 64, LayerTokenBytes = KvHeads * HeadDim * 2 * sizeof(ushort);
        KernelShape odd = KernelShape.Of(KernelSize.Odd, HeadDim, anyHeadDim: true);
        return size switch
        {
            KernelSize.Memory => (Group(KernelShape.MemoryBytes / (MemoryTokens * LayerTokenBytes), KvHeads, HeadDim), MemoryTokens),
            KernelSize.Cache => (Group(1, KvHeads, HeadDim), CacheTokens),
            _ => (Group(1, KvHeads, odd.HeadDim), odd.Tokens),
        };

        LayerGroup Group(int layers, int kvHeads, int headDim) =>
            new() { Layers = [.. Enumerable.Range(0, layers)], KvHeads = kvHeads, HeadDim = headDim, BlockTokens = blockTokens, Order = order };
    }

    /// <summary>Bytes of those rows.</summary>
    internal static long BytesOf(KernelSize size, DimensionOrder order, int blockTokens)
    {
        (LayerGroup group, int tokens) = Shaped(size, order, blockTokens);
        return LayoutOf(group).BytesForTokens(tokens);
    }

    /// <summary>The BF16 rows that a cache of a group is filled with: <c>[layer][kv head][token][element]</c>.</summary>
    internal static NativeSlab Source(KernelBuffers buffers, LayerGroup group, KvPlane plane, int tokens) =>
        buffers.Rows(plane == KvPlane.Key ? RowSource.SyntheticKeys : RowSource.SyntheticValues, new KernelShape(KernelSize.Memory, tokens, group.HeadDim, group.Layers.Length * group.KvHeads));

    public void Dispose()
    {
        Sequence.Dispose();
        _cache.Dispose();
    }

    private static void Scatter(KvBlockPool pool)
    {
        var handles = new SlotHandle[pool.Capacity];
        if (!pool.TryAllocate(handles)) throw new InvalidOperationException("A new pool has no free blocks.");
        new Random(1).Shuffle(handles);
        foreach (SlotHandle handle in handles) pool.Release(handle);
    }

    // Every (layer, head) takes a run of the synthesised rows; they are made once for all kernels.
    private void Fill(KernelBuffers buffers, LayerGroup group)
    {
        int rowBytes = group.HeadDim * sizeof(ushort), streams = group.Layers.Length * group.KvHeads;
        NativeSlab[] planes = [.. Enumerable.Range(0, group.Planes).Select(plane => Source(buffers, group, (KvPlane)plane, Tokens))];
        for (int plane = 0; plane < planes.Length; plane++) CalibrateStatic((KvPlane)plane, planes[plane], streams);
        Parallel.For(0, streams * group.Planes, stream =>
        {
            (int layerAndHead, int plane) = Math.DivRem(stream, group.Planes);
            (int layer, int head) = Math.DivRem(layerAndHead, group.KvHeads);
            KvLayerView view = Sequence.View(layer, Tokens);
            for (int token = 0; token < Tokens; token += KvSegment.GranuleTokens)
            {
                int bytes = Math.Min(KvSegment.GranuleTokens, Tokens - token) * rowBytes;
                Span<byte> rows = planes[plane].Span(((long)layerAndHead * Tokens + token) * rowBytes, bytes);
                StoredRows.Store(view, head, (KvPlane)plane, token, new RowRuns(rows, rowBytes), ElementType.BFloat16);
            }
        });
    }

    // As a host calibrates one scale per tensor: the largest magnitude there is becomes the largest code.
    private void CalibrateStatic(KvPlane plane, NativeSlab rows, int streams)
    {
        KvBlockPool pool = _cache.Pools[0];
        LayerGroup group = pool.Group;
        if (group.Form(plane).ScaleKind != ScaleKind.PerTensor) return;
        int rowBytes = group.HeadDim * sizeof(ushort);
        var largest = new float[group.HeadDim];
        for (long at = 0, end = (long)streams * Tokens * rowBytes; at < end; at += (long)Tokens * rowBytes)
            ChannelScaledPacking.AccumulateMagnitudes(rows.Span(at, Tokens * rowBytes), rowBytes, ElementType.BFloat16, Tokens, group.HeadDim, largest);
        for (int layer = 0; layer < group.Layers.Length; layer++)
            for (int head = 0; head < group.KvHeads; head++) pool.SetStaticScale(layer, head, plane, largest.Max() / LargestCode);
    }
}
