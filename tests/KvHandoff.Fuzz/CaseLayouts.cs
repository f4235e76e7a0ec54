using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Fuzz;

/// <summary>What the caches of a case are like.</summary>
internal enum CacheForm
{
    /// <summary>One layer group of plain rows.</summary>
    Plain,

    /// <summary>Codes and scales in the blocks of one side or both, with tails.</summary>
    Packed,

    /// <summary>MLA latents.</summary>
    Latent,

    /// <summary>Groups of full attention, a sliding window and, in some, latents.</summary>
    Mixed,
}

/// <summary>Pairs of layouts that a plan allows, drawn from a case's own numbers.</summary>
internal static class CaseLayouts
{
    internal static readonly ModelIdentity Model = new("lab", "0123abcd", 10000);

    private static readonly int[] BlockSizes = [1, 8, 16, 32, 64, 128];
    private static readonly DimensionOrder[] Orders = [DimensionOrder.HeadMajor, DimensionOrder.TokenMajor, DimensionOrder.PlaneHeadMajor];
    private static readonly ElementType[] Types = [ElementType.BFloat16, ElementType.BFloat16, ElementType.Float16, ElementType.Float32];

    private static readonly (ElementType Type, ScaleKind Keys, ScaleKind Values, ScaleType Scale)[] PackedForms =
    [
        (ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.Float32),
        (ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.BFloat16),
        (ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32, ScaleType.E8M0),
        (ElementType.Fp8E5M2, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.Float32),
        (ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead, ScaleType.Float32),
        (ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.Float32),
    ];

    internal static (KvCacheLayout Source, KvCacheLayout Target, TransferPlan Plan) Draw(Random random, CacheForm form, int kvHeads)
    {
        int layers = random.Next(1, 4), dim = random.Next(2) == 0 ? 32 : 64;
        (KvCacheLayout source, KvCacheLayout target) = form switch
        {
            CacheForm.Packed => Packed(random, layers, kvHeads, dim),
            CacheForm.Latent => Alike(random, [Latent(random, layers, dim)]),
            CacheForm.Mixed => Alike(random, Mixed(random, kvHeads, dim)),
            _ => Alike(random, [new LayerGroup { Layers = All(layers), KvHeads = kvHeads, HeadDim = dim, ElementType = Types[random.Next(Types.Length)] }]),
        };
        if (!TransferPlan.TryCreate(source, target, out TransferPlan? plan, out _)) TransferPlan.TryCreate(source, target = source, out plan, out _);
        return (source, target, plan!);
    }

    /// <summary>Plain rows of BF16 in the same blocks on both sides, for cases that make frames by hand.</summary>
    internal static KvCacheLayout Simple(Random random, int kvHeads) =>
        KvCacheLayout.Uniform(Model, random.Next(1, 4), kvHeads, random.Next(2) == 0 ? 32 : 64, ElementType.BFloat16, BlockSizes[random.Next(BlockSizes.Length)], Orders[random.Next(Orders.Length)]);

    private static (KvCacheLayout Source, KvCacheLayout Target) Packed(Random random, int layers, int kvHeads, int dim)
    {
        (ElementType type, ScaleKind keys, ScaleKind values, ScaleType scale) = PackedForms[random.Next(PackedForms.Length)];
        var plain = new LayerGroup { Layers = All(layers), KvHeads = kvHeads, HeadDim = dim };
        LayerGroup packed = plain with { ElementType = type, KeyScaleKind = keys, ValueScaleKind = values, ScaleType = scale };
        // Packed on both sides, packed on the way, or unpacked on the way.
        return random.Next(4) switch
        {
            0 => (Layout(random, [plain]), Layout(random, [packed])),
            1 => (Layout(random, [packed]), Layout(random, [plain with { ElementType = ElementType.Float32 }])),
            _ => (Layout(random, [packed]), Layout(random, [packed])),
        };
    }

    private static ImmutableArray<LayerGroup> Mixed(Random random, int kvHeads, int dim)
    {
        var full = new LayerGroup { Layers = [0, 3], KvHeads = kvHeads, HeadDim = dim };
        var window = new LayerGroup { Kind = AttentionKind.SlidingWindow, Layers = [1], KvHeads = kvHeads, HeadDim = 96 - dim, WindowTokens = random.Next(1, 200), ElementType = Types[random.Next(Types.Length)] };
        // A model of the lab's own: groups with and without values.
        return random.Next(2) == 0 ? [full, window, Latent(random, 1, dim) with { Layers = [2] }] : [full, window with { Layers = [1, 2] }];
    }

    private static LayerGroup Latent(Random random, int layers, int dim) => new()
    {
        Kind = AttentionKind.Latent,
        Layers = All(layers),
        KvHeads = 1,
        HeadDim = dim + 16,
        ElementType = Types[random.Next(Types.Length)],
    };

    private static (KvCacheLayout Source, KvCacheLayout Target) Alike(Random random, ImmutableArray<LayerGroup> groups)
    {
        bool rounds = random.Next(4) == 0;
        return (Layout(random, groups), Layout(random, [.. groups.Select(g => rounds ? g with { ElementType = ElementType.BFloat16 } : g)]));
    }

    private static KvCacheLayout Layout(Random random, ImmutableArray<LayerGroup> groups) => new(Model,
    [
        .. groups.Select(g => g with { BlockTokens = BlockSizes[random.Next(BlockSizes.Length)], Order = g.Planes == 2 ? Orders[random.Next(Orders.Length)] : g.Order }),
    ]);

    private static ImmutableArray<int> All(int layers) => [.. Enumerable.Range(0, layers)];
}
