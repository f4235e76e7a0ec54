using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>
/// One sequence whose bytes are written and read here by what the documentation of the orders and of the scales says, not through the
/// library. All other bytes of the cache are 0xFF, which is a NaN in every type that has one, and in every scale.
/// </summary>
sealed class StoredCase : IDisposable
{
    public const int Layer = 1;

    const int SpareBlocks = 3;

    readonly KvSequence _sequence;
    readonly NativeSlab? _apart;

    /// <param name="group">The group; its layers are replaced by two, of which the second is used.</param>
    /// <param name="tokens">Tokens of the sequence.</param>
    /// <param name="seed">Content: the same numbers for the same seed and group, but for the blocks' order.</param>
    /// <param name="shuffle">Seed of the physical order; 0 leaves it.</param>
    /// <param name="apart">K and V in different regions, as some engines keep them.</param>
    public StoredCase(LayerGroup group, int tokens, int seed = 1, int shuffle = 1, bool apart = false)
    {
        Group = group with { Layers = [0, 1] };
        var layout = new KvCacheLayout(new ModelIdentity("stored", "1", 10000), [Group]);
        int slots = (tokens + Group.BlockTokens - 1) / Group.BlockTokens + SpareBlocks;
        if (apart)
        {
            long plane = (long)Group.Geometry.PlaneBytes * slots;
            NativeSlab slab = _apart = NativeSlab.Allocate(4 * plane);
            LayerStorage[] storage = [.. Enumerable.Range(0, 2).Select(layer =>
                new LayerStorage(slab, layer * plane, plane / slots) { Values = new PlaneStorage(slab, (2 + layer) * plane, plane / slots) })];
            Cache = new PagedKvCache(layout, [new KvBlockPool(Group, storage, slots)]);
        }
        else
        {
            Cache = PagedKvCache.Allocate(layout, (long)slots * Group.BlockTokens);
        }

        Cache.Pools[0].Fill(0xFF);
        Cache.TailPools[0]?.Fill(0xFF);
        _sequence = Cache.CreateSequence();
        Assert.True(_sequence.TryReserve(tokens));
        BlockTable table = _sequence.Table(0);
        var order = new Random(shuffle);
        for (int i = table.Count - 1; shuffle != 0 && i > 0; i--) table.Swap(i, order.Next(i + 1));
        _sequence.Advance(tokens);
        Keys = new double[(long)tokens * Group.KvHeads * Group.HeadDim];
        KeyFactors = new double[Keys.Length];
        (Values, ValueFactors) = Group.Planes == 1 ? (Keys, KeyFactors) : (new double[Keys.Length], new double[Keys.Length]);
        WriteStaticScales(new SeededDraws(seed));
        WriteScales(new SeededDraws(seed + 1));
        WriteRows(new SeededDraws(seed + 2));
        Decode();
    }

    public LayerGroup Group { get; }

    public PagedKvCache Cache { get; }

    public KvSequence Sequence => _sequence;

    public KvLayerView View => _sequence.View(Layer);

    public int Tokens => _sequence.Tokens;

    /// <summary><c>[token][kv head][dim]</c>: what the stored rows stand for.</summary>
    public double[] Keys { get; }

    public double[] Values { get; }

    /// <summary>The factors that make numbers of the codes in blocks; 0 for a row of the tail, which is rounded no further.</summary>
    public double[] KeyFactors { get; }

    public double[] ValueFactors { get; }

    /// <summary>Reads all rows again, after bytes were changed by a test.</summary>
    public void Decode()
    {
        KvLayerView view = View;
        for (int plane = 0; plane < Group.Planes; plane++)
        {
            (double[] numbers, double[] factors) = plane == 0 ? (Keys, KeyFactors) : (Values, ValueFactors);
            ScaleKind kind = plane == 0 ? Group.KeyScaleKind : Group.ValueScaleKind;
            for (int token = 0, i = 0; token < Tokens; token++)
            {
                bool inTail = token >= view.PackedTokens, hasScale = !inTail && kind >= ScaleKind.PerTokenHead;
                ReadOnlySpan<byte> block = hasScale ? view.Block(token / Group.BlockTokens) : default;
                for (int head = 0; head < Group.KvHeads; head++)
                {
                    ReadOnlySpan<byte> rows = StoredPlaces.Rows(view, head, (KvPlane)plane, token);
                    double factor = !inTail && kind is ScaleKind.PerTensor or ScaleKind.PerHead ? Cache.Pools[0].StaticScale(Layer, head, (KvPlane)plane) : 1;
                    for (int d = 0; d < Group.HeadDim; d++, i++)
                    {
                        if (hasScale)
                        {
                            (int at, int bytes) = StoredPlaces.Scale(Group, head, (KvPlane)plane, token, d);
                            factor = StoredNumbers.ReadScale(Group.ScaleType, block.Slice(at, bytes));
                        }

                        (int offset, int size) = StoredPlaces.Element(Group, view.PackedTokens, head, (KvPlane)plane, token, d);
                        numbers[i] = StoredNumbers.Read(inTail ? ElementType.BFloat16 : Group.ElementType, rows.Slice(offset, size)) * factor;
                        factors[i] = inTail ? 0 : factor;
                    }
                }
            }
        }
    }

    /// <summary>The bytes of one element, wherever the order has it.</summary>
    public Span<byte> Element(int head, KvPlane plane, int token, int d)
    {
        KvLayerView view = View;
        (int offset, int bytes) = StoredPlaces.Element(Group, view.PackedTokens, head, plane, token, d);
        return StoredPlaces.Rows(view, head, plane, token).Slice(offset, bytes);
    }

    /// <summary>The bytes of the stored scale of one element of a block.</summary>
    public Span<byte> Scale(int head, KvPlane plane, int token, int d)
    {
        (int offset, int bytes) = StoredPlaces.Scale(Group, head, plane, token, d);
        return View.Block(token / Group.BlockTokens).Slice(offset, bytes);
    }

    public float[] Query(int queryHeads, int queryTokens, int seed = 7)
    {
        var draws = new SeededDraws(seed);
        var query = new float[queryTokens * queryHeads * Group.HeadDim];
        for (int i = 0; i < query.Length; i++) query[i] = draws.Normal();
        return query;
    }

    public (float[] Output, float[] LogSumExp) Run(KernelTarget target, int queryHeads, float[] query, in AttentionOptions options, int latentDim = 0, int tokens = -1)
    {
        int rows = query.Length / Group.HeadDim;
        var output = new float[rows * (latentDim != 0 ? latentDim : Group.HeadDim)];
        var logSumExp = new float[rows];
        // What was there before must not matter.
        Array.Fill(output, float.NaN);
        Array.Fill(logSumExp, float.NaN);
        KvLayerView view = _sequence.View(Layer, tokens);
        if (latentDim != 0) MlaDecodeAttention.Run(target, view, queryHeads, latentDim, query, options, output, logSumExp);
        else PagedDecodeAttention.Run(target, view, queryHeads, query, options, output, logSumExp);
        return (output, logSumExp);
    }

    public void Dispose()
    {
        _sequence.Dispose();
        Cache.Dispose();
        _apart?.Dispose();
    }

    void WriteStaticScales(SeededDraws draws)
    {
        for (int plane = 0; plane < Group.Planes; plane++)
        {
            ScaleKind kind = plane == 0 ? Group.KeyScaleKind : Group.ValueScaleKind;
            if (kind is not (ScaleKind.PerTensor or ScaleKind.PerHead)) continue;
            // Layer 0 has other scales, so that a mistaken layer shows.
            for (int layer = 0; layer < 2; layer++)
            {
                double scale = Typical * (1 + draws.Below(8) / 8.0);
                for (int head = 0; head < Group.KvHeads; head++)
                {
                    if (kind == ScaleKind.PerHead) scale = Typical * (1 + draws.Below(8) / 8.0);
                    Cache.Pools[0].SetStaticScale(layer, head, (KvPlane)plane, (float)scale);
                }
            }
        }
    }

    // Within a factor of three of each other, but one in twenty is eight times as large.
    void WriteScales(SeededDraws draws)
    {
        KvLayerView view = View;
        for (int plane = 0; plane < Group.Planes; plane++)
        {
            ScaleKind kind = plane == 0 ? Group.KeyScaleKind : Group.ValueScaleKind;
            if (kind < ScaleKind.PerTokenHead) continue;
            for (int token = 0; token < view.PackedTokens; token++)
            {
                for (int head = 0; head < Group.KvHeads; head++)
                {
                    for (int d = 0; d < Group.HeadDim; d++)
                    {
                        if (StoredPlaces.BeginsScale(Group, kind, token, d))
                            StoredNumbers.WriteScale(Group.ScaleType, Typical * (0.5 + draws.Fraction()) * (draws.Below(20) == 0 ? 8 : 1), Scale(head, (KvPlane)plane, token, d));
                    }
                }
            }
        }
    }

    void WriteRows(SeededDraws draws)
    {
        KvLayerView view = View;
        int packed = view.PackedTokens;
        for (int token = 0; token < Tokens; token++)
        {
            for (int head = 0; head < Group.KvHeads; head++)
            {
                for (int plane = 0; plane < Group.Planes; plane++)
                {
                    Span<byte> rows = StoredPlaces.Rows(view, head, (KvPlane)plane, token);
                    for (int d = 0; d < Group.HeadDim; d++)
                    {
                        (int offset, int bytes) = StoredPlaces.Element(Group, packed, head, (KvPlane)plane, token, d);
                        StoredNumbers.WriteRandom(token < packed ? Group.ElementType : ElementType.BFloat16, draws, rows.Slice(offset, bytes));
                    }
                }
            }
        }
    }

    double Typical => Group.ElementType == ElementType.Int8 ? 1.0 / 64 : 1;
}
