using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>N senders to M receivers over real sockets: bytes against the naive cut of the whole sequence.</summary>
public sealed class ShardedHandoffTests
{
    private const int Tokens = 330;

    /// <summary>(tensor, pipeline, context) parallel on both sides.</summary>
    public static TheoryData<int, int, int, int, int, int, DimensionOrder, int> Cases => new()
    {
        { 1, 1, 1, 4, 1, 1, DimensionOrder.TokenMajor, 16 },
        { 4, 1, 1, 1, 1, 1, DimensionOrder.HeadMajor, 64 },
        { 4, 1, 1, 2, 1, 1, DimensionOrder.PlaneHeadMajor, 128 },
        { 2, 1, 1, 4, 1, 1, DimensionOrder.TokenMajor, 64 },
        { 8, 1, 1, 2, 1, 1, DimensionOrder.TokenMajor, 16 },
        { 2, 1, 1, 8, 1, 1, DimensionOrder.HeadMajor, 16 },
        { 1, 3, 1, 1, 2, 1, DimensionOrder.HeadMajor, 64 },
        { 2, 2, 1, 1, 3, 1, DimensionOrder.TokenMajor, 64 },
        { 1, 1, 3, 1, 1, 1, DimensionOrder.HeadMajor, 64 },
        { 1, 1, 2, 2, 1, 3, DimensionOrder.TokenMajor, 16 },
        { 2, 1, 2, 1, 2, 2, DimensionOrder.HeadMajor, 32 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Every_target_gets_its_rows_once(int tp, int pp, int cp, int toTp, int toPp, int toCp, DimensionOrder order, int blockTokens)
    {
        KvCacheLayout source = SessionFixture.Layout(layers: 3, kvHeads: 4), target = SessionFixture.Layout(layers: 3, kvHeads: 4, blockTokens: blockTokens, order: order);
        await CheckAsync(source, target, Split(source, tp, pp, cp), Split(target, toTp, toPp, toCp));
    }

    [Fact]
    public async Task A_latent_travels_once_to_every_rank()
    {
        var source = KvCacheLayout.Latent(SessionFixture.Model, 3, 32, 16);
        await CheckAsync(source, source, Split(source, 4, 1, 1), Split(source, 2, 1, 1));
    }

    [Fact]
    public async Task Groups_of_different_heads_and_windows_are_divided_each_by_its_own()
    {
        var layout = new KvCacheLayout(SessionFixture.Model,
        [
            new LayerGroup { Layers = [0, 2], KvHeads = 4, HeadDim = 32 },
            new LayerGroup { Kind = AttentionKind.SlidingWindow, Layers = [1, 3], KvHeads = 2, HeadDim = 16, WindowTokens = 4096, BlockTokens = 16, Order = DimensionOrder.TokenMajor },
        ]);
        await CheckAsync(layout, layout, Split(layout, 2, 1, 1), Split(layout, 4, 1, 1));
        await CheckAsync(layout, layout, Split(layout, 1, 2, 1), Split(layout, 2, 1, 2));
    }

    [Theory]
    [InlineData(CodecId.ExponentWindow)]
    [InlineData(CodecId.Lz4)]
    public async Task Heads_travel_through_a_codec_too(CodecId codec)
    {
        KvCacheLayout layout = SessionFixture.Layout(layers: 2, kvHeads: 4);
        await CheckAsync(layout, layout, Split(layout, 2, 1, 1), Split(layout, 4, 1, 1), codec);
    }

    [Fact]
    public async Task Heads_are_cut_out_of_a_cache_that_is_stored_with_scales()
    {
        KvCacheLayout Layout(int block) => new(SessionFixture.Model,
            [new LayerGroup { Layers = [0, 1], KvHeads = 4, HeadDim = 32, BlockTokens = block, ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerChannelTile, ValueScaleKind = ScaleKind.PerTokenHead }]);
        KvCacheLayout layout = Layout(64);
        KvShard whole = KvShard.Whole(layout, Tokens);
        await using ShardFixture f = await ShardFixture.StartAsync(layout, layout, Tokens, [whole], Split(layout, 2, 1, 1));
        KvSequence[] landed = await f.HandOverAsync();
        for (int t = 0; t < 2; t++)
        {
            for (int layer = 0; layer < 2; layer++)
            {
                KvLayerView expected = f.Whole.View(layer), actual = landed[t].View(layer);
                for (int head = 0; head < 2; head++)
                {
                    for (int plane = 0; plane < 2; plane++)
                    {
                        for (int block = 0; block < actual.BlockCount; block++)
                            Assert.True(expected.Scales(block, 2 * t + head, (KvPlane)plane).SequenceEqual(actual.Scales(block, head, (KvPlane)plane)));
                        for (int token = 0; token < Tokens; token++)
                            Assert.True(expected.Row(2 * t + head, (KvPlane)plane, token).SequenceEqual(actual.Row(head, (KvPlane)plane, token)), $"target {t}, layer {layer}, head {head}, token {token}");
                    }
                }
            }

            landed[t].Dispose();
        }
    }

    internal static ImmutableArray<KvShard> Split(KvCacheLayout layout, int tp, int pp, int cp, int tokens = Tokens) =>
    [
        .. Enumerable.Range(0, tp * pp * cp).Select(i =>
            KvShard.TensorParallel(layout, tokens, i % tp, tp).PipelineParallel(i / tp % pp, pp).ContextParallel(i / tp / pp, cp)),
    ];

    private static async Task CheckAsync(KvCacheLayout source, KvCacheLayout target, ImmutableArray<KvShard> sources, ImmutableArray<KvShard> targets, CodecId codec = CodecId.Raw)
    {
        await using ShardFixture f = await ShardFixture.StartAsync(source, target, Tokens, sources, targets, codec);
        KvSequence[] landed = await f.HandOverAsync();
        for (int t = 0; t < targets.Length; t++)
        {
            f.AssertHolds(t, landed[t]);
            landed[t].Dispose();
            Assert.Equal(0, f.TargetCaches[t].UsedBlocks);
            Assert.Equal(0, f.Receivers[t].FencedFrames);
        }
    }
}
