using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

public sealed class LlamaRunnerRefusalTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly LlamaModel _model;

    public LlamaRunnerRefusalTests()
    {
        new SyntheticCheckpoint().Write(_directory.Path);
        _model = LlamaModel.Load(_directory.Path);
    }

    public void Dispose()
    {
        _model.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void A_full_cache_is_refused_with_tokens_needed_and_free()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(blockTokens: 16), 64);
        using KvSequence sequence = cache.CreateSequence();
        var runner = new LlamaRunner(_model, 1);
        runner.Prefill(sequence, new int[20]);
        var refusal = Assert.Throws<InvalidOperationException>(() => runner.Prefill(sequence, new int[60]));
        // 80 tokens in all, 32 reserved in two blocks: 48 more, two blocks of 16 are left.
        Assert.Contains("48 more tokens are needed, 32 are free", refusal.Message);
        Assert.Equal((20, 2, 20L), (sequence.Tokens, cache.UsedBlocks, runner.PrefilledTokens));
    }

    [Fact]
    public void Tokens_outside_the_vocabulary_and_positions_outside_the_model_are_refused()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(), 2048);
        using KvSequence sequence = cache.CreateSequence();
        var runner = new LlamaRunner(_model, 1);
        Assert.Contains("A token is 61; allowed: 0 to 60", Assert.Throws<ArgumentOutOfRangeException>(() => runner.Decode(sequence, 61)).Message);
        Assert.Contains("A token is -1;", Assert.Throws<ArgumentOutOfRangeException>(() => runner.Prefill(sequence, [-1])).Message);
        Assert.Contains("0 tokens", Assert.Throws<ArgumentException>(() => runner.Prefill(sequence, [])).Message);
        string message = Assert.Throws<ArgumentException>(() => runner.Prefill(sequence, new int[1025])).Message;
        Assert.Contains("1025", message);
        Assert.Contains("1024", message);
        Assert.Equal(0, cache.UsedBlocks);
    }

    [Fact]
    public void A_cache_of_another_model_or_format_is_refused()
    {
        var runner = new LlamaRunner(_model, 1);
        ModelIdentity own = _model.Identity;
        Refused<ArgumentException>(KvCacheLayout.Uniform(own with { Revision = "other" }, 3, 2, 16), "other");
        Refused<ArgumentException>(KvCacheLayout.Uniform(own with { RopeTheta = 7 }, 3, 2, 16), "7");
        Refused<ArgumentException>(KvCacheLayout.Uniform(own, 2, 2, 16), "2 layers; the model has 3");
        Refused<ArgumentException>(KvCacheLayout.Uniform(own, 3, 2, 8), "2 kv heads x 8");

        void Refused<T>(KvCacheLayout layout, string part) where T : Exception
        {
            using PagedKvCache cache = PagedKvCache.Allocate(layout, 64);
            using KvSequence sequence = cache.CreateSequence();
            Assert.Contains(part, Assert.Throws<T>(() => runner.Decode(sequence, 1)).Message);
        }
    }
}
