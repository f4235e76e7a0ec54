using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>One sequence in a cache of one layer whose every byte that holds no visible row is part of a NaN.</summary>
sealed class AttentionCase : IDisposable
{
    const int SpareBlocks = 3;

    readonly PagedKvCache _cache;
    readonly KvSequence _sequence;

    public AttentionCase(ElementType type, int kvHeads, int dim, int tokens, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor,
        int windowTokens = 0, int seed = 1, bool shuffleBlocks = true, Action<float[], float[]>? edit = null)
    {
        var layout = new KvCacheLayout(new ModelIdentity("attention", "1", 10000), [new LayerGroup
        {
            Kind = windowTokens > 0 ? AttentionKind.SlidingWindow : AttentionKind.Full, WindowTokens = windowTokens,
            Layers = [0], KvHeads = kvHeads, HeadDim = dim, ElementType = type, BlockTokens = blockTokens, Order = order,
        }]);
        _cache = PagedKvCache.Allocate(layout, tokens + SpareBlocks * blockTokens);
        // 0xFF everywhere is a NaN in every element type.
        _cache.Pools[0].Fill(0xFF);
        _sequence = _cache.CreateSequence();
        Assert.True(_sequence.TryReserve(tokens));
        BlockTable table = _sequence.Table(0);
        var shuffle = new Random(seed);
        for (int i = table.Count - 1; shuffleBlocks && i > 0; i--) table.Swap(i, shuffle.Next(i + 1));

        var content = new Random(seed + 1000);
        float[] keys = Normal(content, tokens * kvHeads * dim), values = Normal(content, tokens * kvHeads * dim);
        edit?.Invoke(keys, values);
        _sequence.WriteRows(0, 0, keys, values);
        _sequence.Advance(tokens);
    }

    public KvLayerView View => _sequence.View(0);

    /// <summary>0 for the definition, then every vector width that this process has.</summary>
    public static IEnumerable<int> Widths => new[] { 0, 128, 256, 512 }.Where(bits => bits <= InstructionSet.VectorBits);

    public static float[] Query(int queryHeads, int dim, int seed = 7) => Normal(new Random(seed), queryHeads * dim);

    public (float[] Output, float[] LogSumExp) Run(int vectorBits, int queryHeads, float[] query, AttentionOptions options = default)
    {
        var output = new float[query.Length];
        var logSumExp = new float[queryHeads];
        // What was there before must not matter.
        Array.Fill(output, float.NaN);
        Array.Fill(logSumExp, float.NaN);
        PagedDecodeAttention.Run(new KernelTarget(vectorBits), View, queryHeads, query, options, output, logSumExp);
        return (output, logSumExp);
    }

    public AttentionOracle Oracle(int queryHeads, float[] query, int start, int end, double scale = 0)
    {
        LayerGroup group = View.Group;
        return AttentionOracle.Attend(query, queryHeads, group.KvHeads, group.HeadDim, AttentionOracle.Decode(View, KvPlane.Key),
            AttentionOracle.Decode(View, KvPlane.Value), scale != 0 ? scale : 1 / Math.Sqrt(group.HeadDim), start, end);
    }

    public void Dispose()
    {
        _sequence.Dispose();
        _cache.Dispose();
    }

    static float[] Normal(Random random, int count)
    {
        var numbers = new float[count];
        for (int i = 0; i < count; i++)
            numbers[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return numbers;
    }
}
