using KvHandoff.Model;

namespace KvHandoff.Core.Tests.Model;

public class TokenSamplerTests
{
    [Fact]
    public void Temperature_0_is_greedy()
    {
        var sampler = new TokenSampler();
        var random = new Random(1);
        for (int round = 0; round < 50; round++)
        {
            float[] logits = [.. Enumerable.Range(0, 40).Select(_ => random.NextSingle())];
            Assert.Equal(GreedySampler.Sample(logits), sampler.Sample(logits, 0, 0.5, (ulong)round, round));
        }
    }

    [Fact]
    public void A_draw_depends_on_seed_and_index_alone()
    {
        float[] logits = [1, 2, 0.5f, 1.5f, 1.9f, 0, 1.2f, 1];
        var one = new TokenSampler();
        int[] inOrder = [.. Enumerable.Range(0, 200).Select(i => one.Sample(logits, 1, 1, 42, i))];
        int[] backwards = [.. Enumerable.Range(0, 200).Reverse().Select(i => new TokenSampler().Sample(logits, 1, 1, 42, i)).Reverse()];
        Assert.Equal(inOrder, backwards);
        Assert.NotEqual(inOrder, Enumerable.Range(0, 200).Select(i => one.Sample(logits, 1, 1, 43, i)));
        Assert.True(inOrder.Distinct().Count() > 4);
    }

    [Fact]
    public void Frequencies_are_the_probabilities_of_the_nucleus()
    {
        double[] probabilities = [0.05, 0.4, 0.15, 0.3, 0.1];
        float[] logits = [.. probabilities.Select(p => (float)Math.Log(p))];
        var sampler = new TokenSampler();
        const int draws = 40_000;
        // At 0.8 the likeliest three, which have 0.85; at temperature 2 the square roots of the probabilities.
        foreach ((double temperature, double topP, double[] expected) in new (double, double, double[])[]
        {
            (1, 1, probabilities),
            (1, 0.8, [0, 0.4 / 0.85, 0.15 / 0.85, 0.3 / 0.85, 0]),
            (1, 1e-9, [0, 1, 0, 0, 0]),
            (2, 1, [.. probabilities.Select(p => Math.Sqrt(p) / probabilities.Sum(Math.Sqrt))]),
        })
        {
            var counts = new int[5];
            for (int i = 0; i < draws; i++) counts[sampler.Sample(logits, temperature, topP, 9, i)]++;
            for (int token = 0; token < 5; token++)
            {
                double deviation = Math.Sqrt(draws * expected[token] * (1 - expected[token]));
                Assert.InRange(counts[token], draws * expected[token] - 5 * deviation, draws * expected[token] + 5 * deviation);
            }
        }
    }

    [Fact]
    public void Numbers_lie_below_1_and_are_spread_evenly_over_indices_and_seeds()
    {
        var byIndex = new int[16];
        var bySeed = new int[16];
        for (int i = 0; i < 16_000; i++)
        {
            double x = TokenSampler.Uniform(7, i), y = TokenSampler.Uniform((ulong)i, 7);
            Assert.InRange(x, 0, 1 - 1e-16);
            byIndex[(int)(16 * x)]++;
            bySeed[(int)(16 * y)]++;
        }

        Assert.All(byIndex.Concat(bySeed), count => Assert.InRange(count, 840, 1160));
    }

    [Fact]
    public void What_is_not_finite_or_out_of_range_gives_a_token_or_a_refusal()
    {
        var sampler = new TokenSampler();
        Assert.Equal(1, sampler.Sample([float.NaN, 3, float.NegativeInfinity], 1, 1, 1, 0));
        Assert.Equal(0, sampler.Sample([float.NaN, float.NaN], 1, 1, 1, 0));
        Assert.Contains("-1", Assert.Throws<ArgumentOutOfRangeException>(() => sampler.Sample([1, 2], -1, 1, 1, 0)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => sampler.Sample([1, 2], double.NaN, 1, 1, 0));
        Assert.Contains("top_p is 0", Assert.Throws<ArgumentOutOfRangeException>(() => sampler.Sample([1, 2], 1, 0, 1, 0)).Message);
    }
}
