using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>
/// Decode attention against double precision over a sample of everything that a caller can choose: each form of storage with orders, head
/// shapes, dimensions, blocks, lengths and options drawn so that every value of each comes up.
/// </summary>
public sealed class SampledAttentionTests
{
    const int SamplesOfAForm = 6;

    // Multiplications of one oracle.
    const long MostWork = 6_000_000;

    static readonly (int Query, int Kv)[] Heads = [(4, 4), (8, 2), (64, 8), (8, 1), (32, 1), (3, 3), (10, 2), (17, 1)];
    static readonly int[] Dims = [64, 80, 96, 128, 192, 256, 20, 7, 48];
    static readonly int[] Blocks = [1, 16, 48, 64, 128, 256, 100];
    static readonly DimensionOrder[] Orders = Enum.GetValues<DimensionOrder>();
    static readonly int[] QueryTokens = [1, 2, 5, 17];

    public static TheoryData<int, string> Forms
    {
        get
        {
            var data = new TheoryData<int, string>();
            for (int i = 0; i < StoredForms.All.Count; i++) data.Add(i, StoredForms.Name(StoredForms.All[i]));
            return data;
        }
    }

    [Fact]
    public void There_are_as_many_forms_as_are_legal()
    {
        // Five plain types. 8 bits: for each FP8 type none, per tensor or per head for K and for V, but not none for both, with two scale
        // types; int8 without none; tokens or channels for K and for V, three types, two scale types; groups of 32 for FP8.
        Assert.Equal(5 + 32 + 8 + 24 + 2, StoredForms.All.Count);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Agrees_with_double_precision(int index, string name)
    {
        var draws = new SeededDraws(index + 100);
        (int Query, int Kv)[] heads = draws.Shuffled(Heads);
        int[] dims = draws.Shuffled(Dims), blocks = draws.Shuffled(Blocks), queryTokens = draws.Shuffled(QueryTokens);
        DimensionOrder[] orders = draws.Shuffled(Orders);
        for (int i = 0, tried = 0; i < SamplesOfAForm; tried++)
        {
            LayerGroup group = StoredForms.All[index] with
            {
                KvHeads = heads[tried % heads.Length].Kv,
                HeadDim = dims[tried % dims.Length],
                BlockTokens = blocks[tried % blocks.Length],
                Order = orders[tried % orders.Length],
            };
            if (draws.Below(5) == 0) group = group with { Kind = AttentionKind.SlidingWindow, WindowTokens = 1 + draws.Below(200) };
            if (!StoredForms.IsLegal(group)) continue;
            Compare(group, heads[tried % heads.Length].Query, queryTokens[tried % queryTokens.Length], draws, $"{name} sample {i++}");
        }
    }

    static void Compare(LayerGroup group, int queryHeads, int queryTokens, SeededDraws draws, string name)
    {
        int block = group.BlockTokens;
        int[] lengths = [0, 1, block - 1, block, block + 1, 63, 64, 65, 511, 512, 513, 1500, queryTokens - 1, 300 + draws.Below(300)];
        long perToken = (long)queryTokens * queryHeads * group.HeadDim;
        int[] affordable = [.. lengths.Where(length => length == 0 || (length > 0 && length * perToken <= MostWork))];
        int tokens = affordable[draws.Below(affordable.Length)];
        AttentionOptions options = Options(queryHeads, tokens, queryTokens, draws);
        using var stored = new StoredCase(group, tokens, seed: (int)(draws.Next() & 0xFFFFF));
        float[] query = stored.Query(queryHeads, queryTokens, (int)(draws.Next() & 0xFFFFF));
        ReferenceAttention expected = ReferenceAttention.Attend(stored, query, queryHeads, options);
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] output, float[] logSumExp) = stored.Run(target, queryHeads, query, options);
            expected.Check(output, logSumExp, $"{name}, {KernelChoices.Name(target)}: {queryTokens} x {queryHeads} over {tokens} tokens of {group}, {options}");
        }
    }

    static AttentionOptions Options(int queryHeads, int tokens, int queryTokens, SeededDraws draws)
    {
        int start = draws.Below(4) == 0 ? draws.Below(tokens + 1) : 0;
        return new AttentionOptions(SoftmaxScale: Sometimes(0.3f), WindowTokens: draws.Below(4) == 0 ? 1 + draws.Below(150) : 0, StartToken: start,
            EndToken: draws.Below(4) == 0 ? start + draws.Below(tokens - start + 1) : null)
        {
            LogitCap = Sometimes(3f),
            Sinks = draws.Below(3) == 0 ? Enumerable.Range(0, queryHeads).Select(_ => 2 * draws.Normal()).ToArray() : default(ReadOnlyMemory<float>),
            QueryPosition = draws.Below(4) == 0 ? Math.Max(0, tokens - queryTokens + draws.Below(100) - 50) : null,
            Weights = draws.Below(4) == 0 ? SoftmaxWeights.BFloat16 : SoftmaxWeights.Float32,
        };

        float Sometimes(float around) => draws.Below(4) == 0 ? around * (float)(0.5 + draws.Fraction()) : 0;
    }
}
