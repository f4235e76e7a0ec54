using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>The runtime against the double-precision forward pass, over every form of checkpoint.</summary>
public class LlamaForwardTests
{
    // A cache of fp32 leaves only fp32 rounding: sums of up to 64 products of size 1 through 3 layers.
    private const double Float32Tolerance = 2e-4;

    public static TheoryData<string> Shapes => new(Checkpoints.Keys);

    private static readonly Dictionary<string, SyntheticCheckpoint> Checkpoints = new()
    {
        ["bf16 tied grouped"] = new(),
        ["f16"] = new() { ElementType = ElementType.Float16 },
        ["f32 untied"] = new() { ElementType = ElementType.Float32, Tied = false },
        ["sharded untied"] = new() { Shards = 3, Tied = false },
        ["one kv head"] = new() { KvHeads = 1, QueryHeads = 6 },
        ["a kv head per query head"] = new() { KvHeads = 4 },
        ["odd sizes"] = new() { Hidden = 30, HeadDim = 10, Intermediate = 37, Vocabulary = 53, KvHeads = 2, QueryHeads = 6 },
        ["llama3 scaling"] = new() { RopeScaling = new Llama3RopeScaling(8, 1, 4, 64), RopeTheta = 500 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Prefill_and_decode_agree_with_the_reference(string name)
    {
        SyntheticCheckpoint checkpoint = Checkpoints[name];
        using var directory = new TemporaryDirectory();
        Dictionary<string, float[]> weights = checkpoint.Write(directory.Path);
        int[] tokens = checkpoint.RandomTokens(137, seed: 5);
        double[][] expected = ReferenceForward.Run(checkpoint, weights, tokens);

        using LlamaModel model = LlamaModel.Load(directory.Path);
        using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(ElementType.Float32, blockTokens: 16), 512);
        using KvSequence sequence = cache.CreateSequence();
        var runner = new LlamaRunner(model, threads: 2);
        Near(expected[99], runner.Prefill(sequence, tokens.AsSpan(0, 100)));
        for (int i = 100; i < 137; i++) Near(expected[i], runner.Decode(sequence, tokens[i]));
        Assert.Equal((100, 37, 137), (runner.PrefilledTokens, runner.DecodedTokens, sequence.Tokens));

        using KvSequence scored = cache.CreateSequence();
        int visited = 0;
        runner.Score(scored, tokens, (index, logits) =>
        {
            Assert.Equal(visited++, index);
            Near(expected[index], logits);
        });
        Assert.Equal(137, visited);
    }

    [Fact]
    public void Likelihood_is_that_of_the_reference()
    {
        var checkpoint = new SyntheticCheckpoint();
        using var directory = new TemporaryDirectory();
        double[][] logits = ReferenceForward.Run(checkpoint, checkpoint.Write(directory.Path), checkpoint.RandomTokens(90, 7));
        int[] tokens = checkpoint.RandomTokens(90, 7);
        double expected = 0;
        for (int i = 0; i + 1 < tokens.Length; i++) expected -= Math.Log(Math.Exp(logits[i][tokens[i + 1]]) / logits[i].Sum(Math.Exp));

        using LlamaModel model = LlamaModel.Load(directory.Path);
        using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(ElementType.Float32), 512);
        using KvSequence whole = cache.CreateSequence(), continued = cache.CreateSequence();
        var runner = new LlamaRunner(model, 1);
        Assert.Equal(expected, runner.NegativeLogLikelihood(whole, tokens), expected * 1e-5);
        double first = runner.NegativeLogLikelihood(continued, tokens.AsSpan(0, 40));
        Assert.Equal(expected, first + runner.NegativeLogLikelihood(continued, tokens.AsSpan(39)), expected * 1e-5);
        Assert.Throws<ArgumentException>(() => runner.NegativeLogLikelihood(whole, [1]));
    }

    [Fact]
    public void A_narrow_cache_costs_no_more_than_its_rounding()
    {
        var checkpoint = new SyntheticCheckpoint();
        using var directory = new TemporaryDirectory();
        double[][] expected = ReferenceForward.Run(checkpoint, checkpoint.Write(directory.Path), checkpoint.RandomTokens(80, 9));
        using LlamaModel model = LlamaModel.Load(directory.Path);
        foreach ((ElementType type, double least, double most) in new[] { (ElementType.Float16, 1e-5, 0.05), (ElementType.BFloat16, 1e-4, 0.4) })
        {
            using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(type, order: DimensionOrder.TokenMajor), 128);
            using KvSequence sequence = cache.CreateSequence();
            ReadOnlySpan<float> logits = new LlamaRunner(model, 1).Prefill(sequence, checkpoint.RandomTokens(80, 9));
            // The lower bound shows that attention read the rows as stored, not as computed.
            Assert.InRange(Difference(expected[79], logits), least, most);
        }
    }

    private static void Near(double[] expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.InRange(Difference(expected, actual), 0, Float32Tolerance);
    }

    private static double Difference(double[] expected, ReadOnlySpan<float> actual)
    {
        double most = 0;
        for (int i = 0; i < expected.Length; i++) most = Math.Max(most, double.IsNaN(actual[i]) ? double.PositiveInfinity : Math.Abs(expected[i] - actual[i]));
        return most;
    }
}
