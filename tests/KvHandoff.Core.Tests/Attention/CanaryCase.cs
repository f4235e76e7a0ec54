using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Core.Tests.Model;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>A sender's sequence of BF16 rows, what of it lands after a codec, and what an engine would say of it.</summary>
sealed class CanaryCase : IDisposable
{
    public static readonly Guid Id = Guid.Parse("6f1c1f4e-8d6e-4a57-9c8f-2f2a3b0d9e11");

    static readonly ModelIdentity Identity = new("canary", "1", 10000);

    readonly List<IDisposable> _owned = [];

    CanaryCase(PagedKvCache cache, KvSequence sequence)
    {
        Sequence = sequence;
        _owned.AddRange([cache, sequence]);
    }

    public KvSequence Sequence { get; }

    public KvCacheLayout Layout => Sequence.Cache.Layout;

    public int Tokens => Sequence.Tokens;

    /// <summary>"gqa", "mqa", "mla", "window": synthetic rows with rotated keys and outlier channels; "real": of the shipped model.</summary>
    public static CanaryCase Create(string name, int tokens, int rotation = 0)
    {
        if (name == "real") return Real(tokens);
        KvCacheLayout layout = Shape(name);
        PagedKvCache cache = PagedKvCache.Allocate(layout, tokens);
        KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(tokens));
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            LayerGroup group = layout.Group(layer);
            sequence.WriteRows(layer, 0, Keys(group, tokens, 100 + layer, rotation), group.Planes == 2 ? Values(group, tokens, 200 + layer) : []);
        }

        sequence.Advance(tokens);
        return new CanaryCase(cache, sequence);
    }

    /// <summary>The rows after a codec, in a cache of another block size and order, or of another form.</summary>
    public KvSequence Land(IKvCodec codec, Func<LayerGroup, LayerGroup>? form = null)
    {
        form ??= g => g with { BlockTokens = 16, Order = g.Planes == 2 ? DimensionOrder.PlaneHeadMajor : g.Order };
        KvSequence landed = Empty(new KvCacheLayout(Layout.Model, [.. Layout.Groups.Select(form)]));
        for (int layer = 0; layer < Layout.LayerCount; layer++)
        {
            LayerGroup group = Layout.Group(layer);
            for (int plane = 0; plane < group.Planes; plane++)
            {
                if (landed.Cache.Layout.Group(layer).Form((KvPlane)plane).ScaleKind is ScaleKind.PerTensor or ScaleKind.PerHead) Calibrate(landed, layer, (KvPlane)plane);
                for (int head = 0; head < group.KvHeads; head++)
                {
                    for (int granule = 0; granule < KvSegment.GranuleCount(Tokens); granule++)
                    {
                        var shape = new SegmentShape(KvSegment.TokensIn(granule, Tokens), group.HeadDim, ElementType.BFloat16, (KvPlane)plane);
                        byte[] rows = new byte[shape.RowsBytes], encoded = new byte[codec.MaxEncodedBytes(shape)];
                        StoredRows.Unpack(Sequence.View(layer), head, (KvPlane)plane, granule * 64, new RowRuns(rows.AsSpan(), shape.RowBytes), ElementType.BFloat16);
                        int bytes = codec.Encode(shape, rows, encoded, out _);
                        Assert.True(codec.TryDecode(shape, encoded.AsSpan(0, bytes), rows.AsSpan(), out string? error), error);
                        StoredRows.Store(landed.View(layer, Tokens), head, (KvPlane)plane, granule * 64, new RowRuns(rows.AsSpan(), shape.RowBytes), ElementType.BFloat16);
                    }
                }
            }
        }

        landed.Advance(Tokens);
        return landed;
    }

    public CanarySet Seeded(int pairs = 12) => AttentionCanary.CreateSeeded(Sequence, Tokens, Id, AttentionCanary.Sample(Layout, pairs).AsSpan())!;

    /// <summary>What an engine with BF16 weights and outputs computes: two query heads for each kv head.</summary>
    public CanarySet Engine(int pairs = 12)
    {
        // Queries as spread as real ones are: logits of a standard deviation of 1.5.
        CanarySet seeded = AttentionCanary.CreateSeeded(Sequence, Tokens, Guid.Parse("00000000-1111-2222-3333-444444444444"), AttentionCanary.Sample(Layout, pairs).AsSpan())!;
        int queryHeads = 2 * Layout.Groups.Max(g => g.KvHeads);
        return seeded with
        {
            QueryHeads = queryHeads,
            Pairs = [.. seeded.Pairs.Select((p, i) => Pair(p, [.. p.Query.ToArray().Select(x => 1.5f * x)], i % 2))],
        };

        CanaryPair Pair(CanaryPair pair, float[] query, int odd) =>
            new(pair.Layer, pair.Head * (queryHeads / Layout.Group(pair.Layer).KvHeads) + odd, query, Reference(pair.Layer, pair.Head, query, seeded.SoftmaxScale, pair.Output.Length));
    }

    public float[] Row(int layer, int head, KvPlane plane)
    {
        var rows = new float[Tokens * Layout.Group(layer).HeadDim];
        StoredRows.Unpack(Sequence.View(layer), head, plane, 0, new RowRuns(MemoryMarshal.AsBytes(rows.AsSpan()), Layout.Group(layer).HeadDim * sizeof(float)), ElementType.Float32);
        return rows;
    }

    public void Dispose()
    {
        for (int i = _owned.Count - 1; i >= 0; i--) _owned[i].Dispose();
    }

    public KvSequence Empty(KvCacheLayout layout)
    {
        PagedKvCache cache = PagedKvCache.Allocate(layout, Tokens);
        KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(Tokens));
        _owned.AddRange([cache, sequence]);
        return sequence;
    }

    static CanaryCase Real(int tokens)
    {
        using LlamaModel model = LlamaModel.Load(RepositoryPaths.ReferenceModel);
        PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(), tokens);
        KvSequence sequence = cache.CreateSequence();
        string text = File.ReadAllText(Path.Combine(RepositoryPaths.Root, "models", "prompts", "held-out.txt"));
        new LlamaRunner(model, 2).Prefill(sequence, ByteTokenizer.Encode(text).AsSpan(0, tokens));
        return new CanaryCase(cache, sequence);
    }

    float[] Reference(int layer, int kvHead, ReadOnlySpan<float> query, float scale, int outputDim)
    {
        LayerGroup group = Layout.Group(layer);
        float[] keys = Row(layer, kvHead, KvPlane.Key), values = group.Planes == 2 ? Row(layer, kvHead, KvPlane.Value) : keys;
        int dim = group.HeadDim, first = group.Kind == AttentionKind.SlidingWindow ? Math.Max(0, Tokens - group.WindowTokens) : 0;
        var logits = new double[Tokens];
        for (int t = first; t < Tokens; t++)
        {
            for (int d = 0; d < dim; d++) logits[t] += (double)query[d] * keys[t * dim + d];
            logits[t] *= scale != 0 ? scale : 1 / Math.Sqrt(dim);
        }

        double largest = logits[first..].Max(), sum = 0;
        var output = new double[outputDim];
        for (int t = first; t < Tokens; t++)
        {
            double weight = (float)(BFloat16)(float)Math.Exp(logits[t] - largest);
            sum += weight;
            for (int d = 0; d < outputDim; d++) output[d] += weight * values[t * dim + d];
        }

        return [.. output.Select(o => (float)(BFloat16)(float)(o / sum))];
    }

    // As a host calibrates: the largest magnitude becomes the largest code.
    void Calibrate(KvSequence landed, int layer, KvPlane plane)
    {
        LayerGroup group = landed.Cache.Layout.Group(layer);
        float[] largest = [.. Enumerable.Range(0, group.KvHeads).Select(head => Row(layer, head, plane).Max(Math.Abs))];
        float codes = group.ElementType == ElementType.Int8 ? 127 : 448;
        for (int head = 0; head < group.KvHeads; head++)
            landed.Cache.Pools[Layout.GroupOf(layer)].SetStaticScale(Layout.IndexInGroup(layer), head, plane, (group.Form(plane).ScaleKind == ScaleKind.PerHead ? largest[head] : largest.Max()) / codes);
    }

    static KvCacheLayout Shape(string name) => name switch
    {
        "gqa" => KvCacheLayout.Uniform(Identity, 3, 4, 64),
        "mqa" => KvCacheLayout.Uniform(Identity, 2, 1, 128),
        "mla" => KvCacheLayout.Latent(Identity, 2, 128, 32),
        "window" => new KvCacheLayout(Identity,
        [
            new LayerGroup { Kind = AttentionKind.SlidingWindow, WindowTokens = 200, Layers = [0, 2], KvHeads = 2, HeadDim = 64 },
            new LayerGroup { Layers = [1], KvHeads = 4, HeadDim = 64 },
        ]),
        _ => throw new ArgumentException(name),
    };

    // A mean and noise per channel, three pairs of channels 10 to 50 times as large, all rotated by position.
    static float[] Keys(LayerGroup group, int tokens, int seed, int rotation)
    {
        var draws = new SeededDraws(seed);
        int dim = group.HeadDim, half = dim / 2;
        var mean = new float[group.KvHeads * dim];
        var size = new float[mean.Length];
        for (int i = 0; i < mean.Length; i++)
        {
            size[i] = MathF.Exp(0.5f * draws.Normal());
            mean[i] = size[i] * draws.Normal();
        }

        for (int head = 0; head < group.KvHeads && group.Planes == 2; head++)
        {
            for (int pair = 0; pair < 3; pair++)
            {
                int at = head * dim + half - 1 - pair * 2;
                float factor = 10 + draws.Below(40);
                foreach (int i in (int[])[at, at + half])
                {
                    size[i] *= factor;
                    mean[i] *= factor;
                }
            }
        }

        var rows = new float[tokens * mean.Length];
        for (int t = 0; t < tokens; t++)
        {
            for (int head = 0; head < group.KvHeads; head++)
            {
                Span<float> row = rows.AsSpan((t * group.KvHeads + head) * dim, dim);
                for (int d = 0; d < dim; d++) row[d] = mean[head * dim + d] + 0.7f * size[head * dim + d] * draws.Normal();
                Rotate(group.Planes == 2 ? row : row[^32..], t + rotation);
            }
        }

        return rows;
    }

    static void Rotate(Span<float> row, int position)
    {
        int half = row.Length / 2;
        for (int i = 0; i < half; i++)
        {
            (double sin, double cos) = Math.SinCos(position * Math.Pow(10000, -(double)i / half));
            (float a, float b) = (row[i], row[i + half]);
            row[i] = (float)(a * cos - b * sin);
            row[i + half] = (float)(a * sin + b * cos);
        }
    }

    static float[] Values(LayerGroup group, int tokens, int seed)
    {
        var draws = new SeededDraws(seed);
        float[] size = [.. Enumerable.Range(0, group.KvHeads * group.HeadDim).Select(_ => MathF.Exp(0.6f * draws.Normal()))];
        var rows = new float[tokens * size.Length];
        for (int i = 0; i < rows.Length; i++) rows[i] = size[i % size.Length] * draws.Normal();
        return rows;
    }
}
