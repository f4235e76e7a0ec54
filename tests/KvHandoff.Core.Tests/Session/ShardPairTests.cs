using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>
/// Every pair of tensor-parallel widths, orders, block sizes and stored forms that a plan allows: bytes against a naive cut of the whole. A seeded sample,
/// or all of them with KVHANDOFF_ALL_PAIRS=1, or a larger sample with a larger number.
/// </summary>
public sealed class ShardPairTests
{
    private const int KvHeads = 8, Tokens = 200, Sampled = 24;

    private static readonly int[] Widths = [1, 2, 4, 8, 16], Blocks = [16, 64, 128];

    private static readonly DimensionOrder[] Orders = [DimensionOrder.TokenMajor, DimensionOrder.HeadMajor];

    private static readonly (ElementType Type, ScaleKind Keys, ScaleKind Values)[] Forms =
    [
        (ElementType.BFloat16, ScaleKind.None, ScaleKind.None),
        (ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
        (ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead),
    ];

    public static TheoryData<int> Sample
    {
        get
        {
            int all = Side * Side;
            if (!int.TryParse(Environment.GetEnvironmentVariable("KVHANDOFF_ALL_PAIRS"), out int sampled)) sampled = Sampled;
            if (sampled == 1) return [.. Enumerable.Range(0, all)];
            var random = new Random(20_26);
            return [.. Enumerable.Range(0, sampled).Select(_ => random.Next(all)).Distinct()];
        }
    }

    private static int Side => Widths.Length * Orders.Length * Blocks.Length * Forms.Length;

    [Theory]
    [MemberData(nameof(Sample))]
    public async Task Bytes_equal_the_naive_cut(int pair)
    {
        (int from, int to) = Math.DivRem(pair, Side);
        (KvCacheLayout source, int sources) = Decode(from);
        (KvCacheLayout target, int targets) = Decode(to);
        await using ShardFixture f = await ShardFixture.StartAsync(source, target, Tokens, Split(source, sources), Split(target, targets), inProcess: true);
        // Where rows are stored alike the whole itself is the reference; else the whole as one worker hands it to one other.
        bool alike = source.Groups[0].Form(KvPlane.Key) == target.Groups[0].Form(KvPlane.Key) && source.Groups[0].ElementType == ElementType.BFloat16;
        await using SessionFixture? one = alike ? null : await SessionFixture.StartAsync(source, target, Tokens + 64);
        using KvSequence? same = one is null ? null : SessionFixture.Fill(one.Source, Tokens, seed: 3);
        using KvSequence? reference = one is null ? null : (await one.HandOverAsync(same!)).Landed;
        KvSequence[] landed = await f.HandOverAsync();
        for (int t = 0; t < landed.Length; t++)
        {
            f.AssertHolds(t, landed[t], reference ?? f.Whole);
            landed[t].Dispose();
            Assert.Equal(0, f.TargetCaches[t].UsedBlocks);
        }
    }

    private static (KvCacheLayout Layout, int Width) Decode(int side)
    {
        (side, int width) = Math.DivRem(side, Widths.Length);
        (side, int order) = Math.DivRem(side, Orders.Length);
        (int form, int block) = Math.DivRem(side, Blocks.Length);
        (ElementType type, ScaleKind keys, ScaleKind values) = Forms[form];
        var group = new LayerGroup
        {
            Layers = [0, 1],
            KvHeads = KvHeads,
            HeadDim = 16,
            BlockTokens = Blocks[block],
            Order = Orders[order],
            ElementType = type,
            KeyScaleKind = keys,
            ValueScaleKind = values,
        };
        return (new KvCacheLayout(SessionFixture.Model, [group]), Widths[width]);
    }

    private static ImmutableArray<KvShard> Split(KvCacheLayout layout, int width) =>
        [.. Enumerable.Range(0, width).Select(rank => KvShard.TensorParallel(layout, Tokens, rank, width))];
}
