using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

/// <summary>
/// Test vectors of the engines' caches. Every element is addressed by the shape that the engine's own source gives its tensor, not by the
/// library's geometry; <c>docs/layouts.md</c> cites the sources.
/// </summary>
public class EngineLayoutTests
{
    private const int Layers = 2, Heads = 3, Dim = 32, Tokens = 53;

    public static TheoryData<ElementType> Types => [ElementType.Float32, ElementType.BFloat16, ElementType.Float16, ElementType.Fp8E4M3, ElementType.Fp8E5M2];

    private delegate void Place(EngineLayoutMemory engine, ReadOnlySpan<byte> element, int layer, int plane, int head, int block, int within, int dim);

    [Theory]
    [MemberData(nameof(Types))]
    public void Vllm_flash_attention(ElementType type)
    {
        const int N = 9, B = 16;
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmFlashAttention(Shape(type), B);
            return EngineLayouts.VllmFlashAttentionPool(group, PerLayer(engine, type, 2, N, B, Heads, Dim), N);
        }, (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, plane, block, t, head, d), reservesBlockZero: true);
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmFlashAttention(Shape(type), B, headMajor: true);
            return EngineLayouts.VllmFlashAttentionPool(group, PerLayer(engine, type, 2, N, Heads, B, Dim), N);
        }, (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, plane, block, head, t, d), reservesBlockZero: true);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Vllm_flashinfer(ElementType type)
    {
        const int N = 8, B = 16;
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmFlashInfer(Shape(type), B);
            return EngineLayouts.VllmFlashInferPool(group, PerLayer(engine, type, N, 2, B, Heads, Dim), N);
        }, (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, block, plane, t, head, d), reservesBlockZero: true);
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmFlashInfer(Shape(type), B, headMajor: true);
            return EngineLayouts.VllmFlashInferPool(group, PerLayer(engine, type, N, 2, Heads, B, Dim), N);
        }, (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, block, plane, head, t, d), reservesBlockZero: true);
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmFlashInfer(Shape(type), B);
            return EngineLayouts.VllmCrossLayerPool(group, engine.Add(type.SizeBytes(), N, Layers, 2, B, Heads, Dim), N);
        }, (engine, x, layer, plane, head, block, t, d) => engine.Write(0, x, block, layer, plane, t, head, d), reservesBlockZero: true);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Vllm_paged_attention(ElementType type)
    {
        const int N = 7, B = 16;
        int x = 16 / type.SizeBytes();
        // One tensor (2, N, B * H * D); its halves are seen as a five- and a four-dimensional tensor.
        int Key(int h, int t, int d) => ((h * (Dim / x) + d / x) * B + t) * x + d % x;
        int Value(int h, int t, int d) => (h * Dim + d) * B + t;
        Check(type, engine =>
        {
            LayerGroup group = EngineLayouts.VllmPagedAttention(Shape(type), B);
            return EngineLayouts.VllmPagedAttentionPool(group, PerLayer(engine, type, 2, N, B * Heads * Dim), N);
        }, (engine, element, layer, plane, head, block, t, d) => engine.Write(layer, element, plane, block, plane == 0 ? Key(head, t, d) : Value(head, t, d)));
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Sglang_token_pools(ElementType type)
    {
        foreach (int page in new[] { 1, 16 })
        {
            const int Size = 80;
            Check(type, engine =>
            {
                EngineTensor[] buffers = PerPlane(engine, type, Size + page, Heads, Dim);
                LayerGroup group = EngineLayouts.SglangTokenPool(Shape(type), page);
                return EngineLayouts.SglangTokenPoolBlocks(group, buffers.AsSpan(0, Layers), buffers.AsSpan(Layers), Size);
            }, (engine, x, layer, plane, head, block, t, d) => engine.Write(plane * Layers + layer, x, block * page + t, head, d), reservesBlockZero: true);
            Check(type, engine =>
            {
                LayerGroup group = EngineLayouts.SglangLatentPool(LatentShape(type), page);
                return EngineLayouts.SglangLatentPoolBlocks(group, PerLayer(engine, type, Size + page, 1, 576), Size);
            }, (engine, x, layer, _, _, block, t, d) => engine.Write(layer, x, block * page + t, 0, d), reservesBlockZero: true);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Latent_caches_of_vllm_and_tensorrt_llm(ElementType type)
    {
        const int N = 3, B = 32;
        Check(type, engine => EngineLayouts.VllmLatentPool(EngineLayouts.VllmLatent(LatentShape(type), B), PerLayer(engine, type, N, B, 576), N),
            (engine, x, layer, _, _, block, t, d) => engine.Write(layer, x, block, t, d), reservesBlockZero: true);
        Check(type, engine => EngineLayouts.TensorRtLlmPool(EngineLayouts.TensorRtLlmLatent(LatentShape(type), B), engine.Add(type.SizeBytes(), N, Layers, 1, B * 576), N),
            (engine, x, layer, _, _, block, t, d) => engine.Write(0, x, block, layer, 0, t * 576 + d));
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Tensorrt_llm(ElementType type)
    {
        foreach (int b in new[] { 32, 64 })
        {
            const int N = 4;
            // A block is one run of heads x tokens x dim elements; the kernels index it.
            Check(type, engine => EngineLayouts.TensorRtLlmPool(EngineLayouts.TensorRtLlm(Shape(type), b), engine.Add(type.SizeBytes(), N, Layers, 2, Heads * b * Dim), N),
                (engine, x, layer, plane, head, block, t, d) => engine.Write(0, x, block, layer, plane, head * b * Dim + t * Dim + d));
            Check(type, engine => EngineLayouts.TensorRtLlmPool(EngineLayouts.TensorRtLlm(Shape(type), b), PerLayer(engine, type, N, 2, Heads, b, Dim), N),
                (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, block, plane, head, t, d));
            Check(type, engine => EngineLayouts.TensorRtLlmPool(EngineLayouts.TensorRtLlm(Shape(type), b, tokenMajor: true), PerLayer(engine, type, N, 2, b, Heads, Dim), N),
                (engine, x, layer, plane, head, block, t, d) => engine.Write(layer, x, block, plane, t, head, d));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Neuron(ElementType type)
    {
        const int Batch = 3, Length = 640, N = 5, B = 16;
        Check(type, engine => NeuronPool(engine, EngineLayouts.NeuronContiguous(Shape(type), Length), Batch, PerPlane(engine, type, Batch, Heads, Length, Dim)),
            (engine, x, layer, plane, head, line, t, d) => engine.Write(plane * Layers + layer, x, line, head, t, d));
        Check(type, engine => NeuronPool(engine, EngineLayouts.NeuronContiguous(Shape(type), Length, transposedKey: true), Batch,
                [.. PerLayer(engine, type, Batch, Heads, Dim, Length), .. PerLayer(engine, type, Batch, Heads, Length, Dim)]),
            (engine, x, layer, plane, head, line, t, d) => engine.Write(plane * Layers + layer, x, line, head, plane == 0 ? d : t, plane == 0 ? t : d));
        Check(type, engine => NeuronPool(engine, EngineLayouts.NeuronPrefixCaching(Shape(type), B), N, PerPlane(engine, type, N + 1, B, Heads, Dim)),
            (engine, x, layer, plane, head, block, t, d) => engine.Write(plane * Layers + layer, x, block, t, head, d));
        Check(type, engine => NeuronPool(engine, EngineLayouts.NeuronChunkedPrefill(Shape(type), B), N, PerPlane(engine, type, N, Heads, B, Dim)),
            (engine, x, layer, plane, head, block, t, d) => engine.Write(plane * Layers + layer, x, block, head, t, d));
    }

    [Fact]
    public void Tensors_that_are_too_small_or_too_few_are_refused()
    {
        using var engine = new EngineLayoutMemory();
        LayerGroup group = EngineLayouts.VllmFlashAttention(Shape(ElementType.BFloat16));
        EngineTensor[] tensors = PerLayer(engine, ElementType.BFloat16, 2, 4, 16, Heads, Dim);
        Assert.Equal(4, EngineLayouts.VllmFlashAttentionPool(group, tensors, 4).Capacity);
        Assert.Contains("5 blocks end at byte", Assert.Throws<ArgumentException>(() => EngineLayouts.VllmFlashAttentionPool(group, tensors, 5)).Message);
        Assert.Contains("Storage for 1 layers", Assert.Throws<ArgumentException>(() => EngineLayouts.VllmFlashInferPool(group, tensors.AsSpan(0, 1), 4)).Message);
        Assert.Contains("2 key tensors and 1 value", Assert.Throws<ArgumentException>(() => EngineLayouts.NeuronPool(group, tensors, tensors.AsSpan(0, 1), 4)).Message);
        Assert.Contains("81 tokens", Assert.Throws<ArgumentException>(() => EngineLayouts.SglangTokenPoolBlocks(group, tensors, tensors, 81)).Message);
        Assert.Throws<KvLayoutException>(() => EngineLayouts.VllmPagedAttention(Shape(ElementType.BFloat16) with { HeadDim = 12 }));
        Assert.Throws<KvLayoutException>(() => EngineLayouts.VllmLatent(Shape(ElementType.BFloat16)));
    }

    private static EngineCacheShape Shape(ElementType type) => new(Layers, Heads, Dim, type);

    private static EngineCacheShape LatentShape(ElementType type) => new(Layers, 1, 576, type);

    private static EngineTensor[] PerLayer(EngineLayoutMemory engine, ElementType type, params int[] shape) =>
        [.. Enumerable.Range(0, Layers).Select(_ => engine.Add(type.SizeBytes(), shape))];

    private static EngineTensor[] PerPlane(EngineLayoutMemory engine, ElementType type, params int[] shape) =>
        [.. PerLayer(engine, type, shape), .. PerLayer(engine, type, shape)];

    private static KvBlockPool NeuronPool(EngineLayoutMemory _, LayerGroup group, int blocks, EngineTensor[] tensors) =>
        EngineLayouts.NeuronPool(group, tensors.AsSpan(0, Layers), tensors.AsSpan(Layers), blocks);

    private static void Check(ElementType type, Func<EngineLayoutMemory, KvBlockPool> poolOf, Place place, bool reservesBlockZero = false)
    {
        using var engine = new EngineLayoutMemory();
        KvBlockPool pool = poolOf(engine);
        LayerGroup group = pool.Group;
        var random = new Random(7);
        using var cache = new PagedKvCache(new KvCacheLayout(new ModelIdentity("engine", "1", 0), [group]), [pool]);
        using KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(Tokens));
        BlockTable table = sequence.Table(0);
        for (int i = table.Count - 1; i > 0; i--) table.Swap(i, random.Next(i + 1));
        sequence.Advance(Tokens);
        Assert.Equal(reservesBlockZero, !table.Slots.ToArray().Any(s => s.Slot == 0));
        bool scaled = group.KeyScaleKind == ScaleKind.PerTensor;
        if (scaled) SetScales(pool, 0.5f);

        int size = type.SizeBytes(), rowBytes = group.HeadDim * size;
        Span<byte> element = stackalloc byte[size];
        foreach ((int layer, int plane, int head, int token, int dim) in Elements(group))
        {
            Element(type, layer, plane, head, token, dim, element);
            place(engine, element, layer, plane, head, table[token / group.BlockTokens].Slot, token % group.BlockTokens, dim);
        }

        engine.CopyToEngine();
        for (int layer = 0; layer < Layers; layer++)
            for (int plane = 0; plane < group.Planes; plane++)
                for (int head = 0; head < group.KvHeads; head++)
                    CheckRows(sequence.View(layer), type, layer, plane, head, scaled ? 0.5f : 1f, random);

        engine.PoisonEngine();
        for (int layer = 0; layer < Layers; layer++)
            for (int plane = 0; plane < group.Planes; plane++)
                for (int head = 0; head < group.KvHeads; head++)
                    ScatterRows(sequence.View(layer), Rows(type, layer, plane, head, 0, Tokens, group.HeadDim), head, (KvPlane)plane, rowBytes, random);
        engine.Check($"{type} {group}");
    }

    private static void CheckRows(KvLayerView view, ElementType type, int layer, int plane, int head, float scale, Random random)
    {
        int dim = view.Group.HeadDim, first = random.Next(Tokens), count = random.Next(1, Tokens - first + 1), rowBytes = dim * type.SizeBytes();
        byte[] expected = Rows(type, layer, plane, head, first, count, dim), found = new byte[expected.Length];
        SegmentRows.Gather(view, head, (KvPlane)plane, first, count, found);
        Assert.Equal(expected, found);

        var numbers = new byte[count * dim * sizeof(float)];
        StoredRows.Unpack(view, head, (KvPlane)plane, first, new RowRuns(numbers, dim * sizeof(float)), ElementType.Float32);
        for (int i = 0; i < count * dim; i++)
            Assert.Equal(Number(type, expected.AsSpan(i * rowBytes / dim)) * scale, BitConverter.ToSingle(numbers, i * sizeof(float)));
    }

    /// <summary>In pieces that begin and end within blocks.</summary>
    private static void ScatterRows(KvLayerView view, byte[] rows, int head, KvPlane plane, int rowBytes, Random random)
    {
        for (int first = 0, count; first < Tokens; first += count)
        {
            count = Math.Min(random.Next(1, 30), Tokens - first);
            SegmentRows.Scatter(view, head, plane, first, count, rows.AsSpan(first * rowBytes, count * rowBytes));
        }
    }

    private static byte[] Rows(ElementType type, int layer, int plane, int head, int first, int count, int dim)
    {
        int size = type.SizeBytes();
        var rows = new byte[count * dim * size];
        for (int i = 0; i < count * dim; i++) Element(type, layer, plane, head, first + i / dim, i % dim, rows.AsSpan(i * size, size));
        return rows;
    }

    /// <summary>A finite number whose bits tell where it belongs.</summary>
    private static void Element(ElementType type, int layer, int plane, int head, int token, int dim, Span<byte> element)
    {
        uint bits = (uint)((((layer * 2 + plane) * 3 + head) * Tokens + token) * 577 + dim) * 2654435761u;
        switch (type.SizeBytes())
        {
            case 4: BitConverter.TryWriteBytes(element, (bits & 0x80FF_FFFF) | 0x3F00_0000); break;
            case 2: BitConverter.TryWriteBytes(element, (ushort)(((bits >> 16) & 0x83FF) | 0x3C00)); break;
            default: element[0] = (byte)((bits >> 24) & 0xBB); break;
        }
    }

    private static float Number(ElementType type, ReadOnlySpan<byte> element) => type switch
    {
        ElementType.Float32 => BitConverter.ToSingle(element),
        ElementType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(element) << 16),
        ElementType.Float16 => (float)BitConverter.ToHalf(element),
        ElementType.Fp8E5M2 => (float)BitConverter.UInt16BitsToHalf((ushort)(element[0] << 8)),
        _ => Fp8E4M3Number(element[0]),
    };

    private static float Fp8E4M3Number(byte code)
    {
        int exponent = (code >> 3) & 15, mantissa = code & 7;
        double magnitude = exponent == 0 ? Math.ScaleB(mantissa, -9) : Math.ScaleB(8 + mantissa, exponent - 10);
        return (float)((code & 0x80) != 0 ? -magnitude : magnitude);
    }

    private static void SetScales(KvBlockPool pool, float scale)
    {
        for (int layer = 0; layer < Layers; layer++)
            for (int head = 0; head < pool.Group.KvHeads; head++)
                for (int plane = 0; plane < pool.Group.Planes; plane++)
                    pool.SetStaticScale(layer, head, (KvPlane)plane, scale);
    }

    private static IEnumerable<(int Layer, int Plane, int Head, int Token, int Dim)> Elements(LayerGroup g) =>
        from layer in Enumerable.Range(0, Layers)
        from plane in Enumerable.Range(0, g.Planes)
        from head in Enumerable.Range(0, g.KvHeads)
        from token in Enumerable.Range(0, Tokens)
        from dim in Enumerable.Range(0, g.HeadDim)
        select (layer, plane, head, token, dim);
}
