using KvHandoff.Model;

namespace KvHandoff.Core.Tests.Model;

public class SamplingTests
{
    [Fact]
    public void The_greatest_logit_wins_and_the_lowest_index_on_a_tie()
    {
        Assert.Equal(2, GreedySampler.Sample([-3, 1, 5, 5, 4]));
        Assert.Equal(0, GreedySampler.Sample([float.NegativeInfinity, float.NegativeInfinity]));
        Assert.Equal(1, GreedySampler.Sample([float.NaN, -7, float.NaN, -8]));
        Assert.Equal(0, GreedySampler.Sample([float.NaN, float.NaN]));
        Assert.Throws<ArgumentException>(() => GreedySampler.Sample([]));
    }

    [Fact]
    public void Text_survives_the_byte_tokenizer()
    {
        const string text = "Am Anfang schuf Gott \u00e4\u00f6\u00fc \u2192 \U0001F600\n";
        int[] tokens = ByteTokenizer.Encode(text);
        Assert.Equal(System.Text.Encoding.UTF8.GetByteCount(text), tokens.Length);
        Assert.All(tokens, t => Assert.InRange(t, 0, 255));
        Assert.Equal(text, ByteTokenizer.Decode(tokens));
        Assert.Equal([0, 255, 128], ByteTokenizer.Encode((ReadOnlySpan<byte>)[0, 255, 128]));
        Assert.Contains("256", Assert.Throws<ArgumentOutOfRangeException>(() => ByteTokenizer.Decode([65, 256])).Message);
    }

    [Fact]
    public void Log_probability_is_stable_for_large_logits()
    {
        Assert.Equal(-Math.Log(2), LlamaRunner.LogProbability([1e4f, 1e4f, -1e4f], 1), 1e-12);
        Assert.Equal(-20_000, LlamaRunner.LogProbability([1e4f, -1e4f], 1), 1e-9);
    }
}
