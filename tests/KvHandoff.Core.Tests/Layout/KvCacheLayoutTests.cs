using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

public sealed class KvCacheLayoutTests
{
    private static readonly ModelIdentity Model = new("m", "r", 10000);

    [Theory]
    [InlineData(80, 8, 128, 327_680)]      // Llama 3.3 70B, GQA
    [InlineData(32, 8, 128, 131_072)]      // Llama 3.1 8B, GQA
    [InlineData(126, 8, 128, 516_096)]     // Llama 3.1 405B, GQA
    [InlineData(32, 32, 128, 524_288)]     // Llama 2 7B, MHA
    [InlineData(60, 1, 128, 30_720)]       // an MQA model
    public void Bytes_per_token_of_uniform_models(int layers, int kvHeads, int headDim, long expected) =>
        Assert.Equal(expected, KvCacheLayout.Uniform(Model, layers, kvHeads, headDim).BytesPerToken);

    [Fact]
    public void Llama_70B_at_3100_tokens_is_the_figure_that_everything_else_quotes() =>
        Assert.Equal(1_015_808_000, KvCacheLayout.Uniform(Model, 80, 8, 128).BytesForTokens(3100));

    [Fact]
    public void A_latent_model_keeps_one_vector_per_layer()
    {
        KvCacheLayout deepseek = KvCacheLayout.Latent(Model, 61, 512, 64);
        Assert.Equal(61 * 576 * 2, deepseek.BytesPerToken);
        Assert.Equal(1, deepseek.Groups[0].Planes);
    }

    [Fact]
    public void A_sliding_window_counts_at_most_its_window()
    {
        KvCacheLayout layout = Alternating(window: 128);
        long perLayer = 8 * 64 * 2 * 2;
        Assert.Equal(4 * perLayer, layout.BytesPerToken);
        Assert.Equal(100 * 4 * perLayer, layout.BytesForTokens(100));
        Assert.Equal((1000 + 128) * 2 * perLayer, layout.BytesForTokens(1000));
        Assert.Equal((1, 0), (layout.GroupOf(0), layout.GroupOf(1)));
        Assert.Equal((1, 1), (layout.IndexInGroup(2), layout.IndexInGroup(3)));
    }

    [Fact]
    public void Scales_are_part_of_the_bytes()
    {
        LayerGroup group = new() { Layers = [0], KvHeads = 2, HeadDim = 128, ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead };
        Assert.Equal(2 * 2 * (128 + 4), new KvCacheLayout(Model, [group]).BytesPerToken);
        Assert.Equal(2 * 2 * 64 * (128 + 4), group.Geometry.BlockBytes);
    }

    public static TheoryData<string, LayerGroup> BadGroups
    {
        get
        {
            LayerGroup good = new() { Layers = [0], KvHeads = 1, HeadDim = 8 };
            return new TheoryData<string, LayerGroup>
            {
                { "KvHeads is 0", good with { KvHeads = 0 } },
                { "KvHeads is 1025", good with { KvHeads = 1025 } },
                { "KvHeads is 2", good with { Kind = AttentionKind.Latent, KvHeads = 2 } },
                { "HeadDim is 4097", good with { HeadDim = 4097 } },
                { "BlockTokens is 0", good with { BlockTokens = 0 } },
                { "BlockTokens is 131073", good with { BlockTokens = 131_073 } },
                { "WindowTokens is 5", good with { WindowTokens = 5 } },
                { "WindowTokens is 0", good with { Kind = AttentionKind.SlidingWindow } },
                { "Kind is 9", good with { Kind = (AttentionKind)9 } },
                { "Order is 0", good with { Order = 0 } },
                { "ElementType is 77", good with { ElementType = (ElementType)77 } },
                { "KeyScaleKind is 9", good with { KeyScaleKind = (ScaleKind)9 } },
                { "KeyScaleKind is PerTokenHead; allowed: None for elements of bf16", good with { KeyScaleKind = ScaleKind.PerTokenHead } },
                { "KeyScaleKind is None; allowed: any other: int8", good with { ElementType = ElementType.Int8 } },
                { "ValueScaleKind is None; allowed: any other: int8", good with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerHead } },
                { "ScaleType is 7", good with { ScaleType = (ScaleType)7 } },
                { "ScaleType of KeyScaleKind PerGroup32 is Float32", good with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerGroup32 } },
                { "BlockTokens is 24; allowed: a divisor or a multiple of 64", good with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead, BlockTokens = 24 } },
                { "row bytes is 20; allowed: a multiple of 16", good with { HeadDim = 10, Order = DimensionOrder.PackedKey } },
                { "Layers is 0", good with { Layers = [] } },
                { "Layers[1] is 0", good with { Layers = [0, 0] } },
                { "Layers[0] is -1", good with { Layers = [-1] } },
            };
        }
    }

    [Theory]
    [MemberData(nameof(BadGroups))]
    public void A_bad_field_is_named_with_its_value(string expected, LayerGroup group) =>
        Assert.Contains(expected, Assert.Throws<KvLayoutException>(() => new KvCacheLayout(Model, [group])).Message);

    [Fact]
    public void Layers_must_be_covered_once()
    {
        LayerGroup first = new() { Layers = [0, 1], KvHeads = 1, HeadDim = 8 };
        Assert.Contains("Layer 1 is in group 0 and in group 1", Assert.Throws<KvLayoutException>(() => new KvCacheLayout(Model, [first, first with { Layers = [1, 2] }])).Message);
        Assert.Contains("Layer 5", Assert.Throws<KvLayoutException>(() => new KvCacheLayout(Model, [first with { Layers = [0, 5] }])).Message);
        Assert.Throws<KvLayoutException>(() => new KvCacheLayout(Model with { Name = "" }, [first]));
        Assert.Throws<KvLayoutException>(() => new KvCacheLayout(Model with { RopeTheta = double.NaN }, [first]));
    }

    [Theory]
    [InlineData(DimensionOrder.HeadMajor)]
    [InlineData(DimensionOrder.TokenMajor)]
    [InlineData(DimensionOrder.PlaneHeadMajor)]
    [InlineData(DimensionOrder.TransposedKey)]
    [InlineData(DimensionOrder.PackedKey)]
    public void Rows_and_scales_fill_a_block_exactly_once(DimensionOrder order)
    {
        BlockGeometry g = new LayerGroup { Layers = [0], KvHeads = 3, HeadDim = 32, BlockTokens = 4, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead, ElementType = ElementType.Fp8E4M3, Order = order }.Geometry;
        var used = new int[g.BlockBytes];
        for (int head = 0; head < 3; head++)
        {
            foreach (KvPlane plane in Enum.GetValues<KvPlane>())
            {
                PlaneGeometry rows = g.Plane(plane);
                for (int token = 0; token < 4; token++)
                {
                    for (int i = 0; i < g.RowBytes; i++)
                        used[rows.OffsetBytes + rows.RowOffset(head, token) + i / rows.ChunkBytes * rows.ChunkStrideBytes + i % rows.ChunkBytes]++;
                }

                for (int i = 0; i < g.ScaleBytesPerHead(plane); i++) used[g.ScaleOffset(head, plane) + i]++;
            }
        }

        Assert.All(used, times => Assert.Equal(1, times));
    }

    [Fact]
    public void Layouts_are_equal_by_content()
    {
        Assert.Equal(Alternating(128), Alternating(128));
        Assert.NotEqual(Alternating(128), Alternating(127));
        Assert.True(TransferPlan.TryCreate(Alternating(128), Alternating(128), out TransferPlan? plan, out _));
        Assert.Equal(TransferSteps.Copy, plan!.Steps);
        Assert.False(TransferPlan.TryCreate(Alternating(128), Alternating(127), out _, out string? reason));
        Assert.Contains("sender 128, receiver 127", reason);
    }

    private static KvCacheLayout Alternating(int window) => new(Model,
    [
        new LayerGroup { Layers = [1, 3], KvHeads = 8, HeadDim = 64 },
        new LayerGroup { Layers = [0, 2], KvHeads = 8, HeadDim = 64, Kind = AttentionKind.SlidingWindow, WindowTokens = window },
    ]);
}
