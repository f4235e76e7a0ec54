using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>A sequence's logits and rows do not depend on what else is in its batch.</summary>
public sealed class DecodeBatchTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly SyntheticCheckpoint _checkpoint = new() { Hidden = 64, HeadDim = 32, Intermediate = 96 };
    private readonly LlamaModel _model;

    public DecodeBatchTests()
    {
        _checkpoint.Write(_directory.Path);
        _model = LlamaModel.Load(_directory.Path);
    }

    public void Dispose()
    {
        _model.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(1, 1, ElementType.BFloat16)]
    [InlineData(2, 1, ElementType.BFloat16)]
    [InlineData(3, 2, ElementType.Float32)]
    [InlineData(8, 1, ElementType.BFloat16)]
    [InlineData(17, 3, ElementType.BFloat16)]
    [InlineData(53, 2, ElementType.Fp8E4M3)]
    public void Every_batch_gives_the_bits_of_single_steps(int count, int threads, ElementType type)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(type, blockTokens: 32), 2L * count * 192, sequences: 2 * count);
        var alone = new LlamaRunner(_model, 1);
        var together = new LlamaRunner(_model, threads);
        var singles = new KvSequence[count];
        var batch = new KvSequence[count];
        var tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            int[] prompt = _checkpoint.RandomTokens(1 + 37 * i % 131, i);
            singles[i] = cache.CreateSequence();
            batch[i] = cache.CreateSequence();
            tokens[i] = GreedySampler.Sample(alone.Prefill(singles[i], prompt));
            alone.Prefill(batch[i], prompt);
        }

        for (int step = 0; step < 3; step++)
        {
            float[] logits = together.DecodeBatch(batch, tokens).ToArray();
            int width = logits.Length / count;
            for (int i = 0; i < count; i++)
            {
                uint[] expected = Bits(alone.Decode(singles[i], tokens[i])), found = Bits(logits.AsSpan(i * width, width));
                Assert.Equal(expected, found);
                tokens[i] = GreedySampler.Sample(logits.AsSpan(i * width, width));
            }
        }

        for (int i = 0; i < count; i++) Assert.Equal(Rows(singles[i]), Rows(batch[i]));
        Assert.Equal(3L * count, together.DecodedTokens);
    }

    [Fact]
    public void Sequences_may_join_and_leave_between_steps()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(), 16_384);
        var alone = new LlamaRunner(_model, 1);
        var together = new LlamaRunner(_model, 2);
        var random = new Random(5);
        var live = new List<(KvSequence Single, KvSequence Batched, int Token)>();
        for (int step = 0; step < 30; step++)
        {
            if (live.Count > 1 && random.Next(3) == 0) live.RemoveAt(random.Next(live.Count));
            while (live.Count == 0 || (live.Count < 12 && random.Next(2) == 0))
            {
                int[] prompt = _checkpoint.RandomTokens(random.Next(1, 90), step);
                KvSequence single = cache.CreateSequence(), batched = cache.CreateSequence();
                int token = GreedySampler.Sample(alone.Prefill(single, prompt));
                alone.Prefill(batched, prompt);
                live.Insert(random.Next(live.Count + 1), (single, batched, token));
            }

            float[] logits = together.DecodeBatch(live.Select(l => l.Batched).ToArray(), live.Select(l => l.Token).ToArray()).ToArray();
            int width = logits.Length / live.Count;
            for (int i = 0; i < live.Count; i++)
            {
                Assert.Equal(Bits(alone.Decode(live[i].Single, live[i].Token)), Bits(logits.AsSpan(i * width, width)));
                live[i] = live[i] with { Token = GreedySampler.Sample(logits.AsSpan(i * width, width)) };
            }
        }
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_nothing_is_written()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(blockTokens: 16), 32);
        using KvSequence first = cache.CreateSequence(), second = cache.CreateSequence();
        var runner = new LlamaRunner(_model, 1);
        runner.Prefill(first, _checkpoint.RandomTokens(16, 1));
        runner.Prefill(second, _checkpoint.RandomTokens(9, 2));
        byte[] before = Rows(second);
        Assert.Contains("0 sequences", Assert.Throws<ArgumentException>(() => runner.DecodeBatch([], [])).Message);
        Assert.Contains("1 tokens for 2", Assert.Throws<ArgumentException>(() => runner.DecodeBatch(new[] { first, second }, [1])).Message);
        Assert.Contains("Sequence 1", Assert.Throws<ArgumentException>(() => runner.DecodeBatch(new[] { second, second }, [1, 2])).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => runner.DecodeBatch(new[] { second }, [-1]));
        Assert.Contains("no room", Assert.Throws<InvalidOperationException>(() => runner.DecodeBatch(new[] { second, first }, [1, 2])).Message);
        Assert.Equal((16, 9), (first.Tokens, second.Tokens));
        Assert.Equal(before, Rows(second));
    }

    private static uint[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, uint>(values).ToArray();

    private static byte[] Rows(KvSequence sequence)
    {
        var rows = new List<byte>();
        for (int layer = 0; layer < sequence.Cache.Layout.LayerCount; layer++)
        {
            KvLayerView view = sequence.View(layer);
            for (int head = 0; head < view.Geometry.KvHeads; head++)
            {
                for (int token = 0; token < sequence.Tokens; token++)
                {
                    rows.AddRange(view.Row(head, KvPlane.Key, token));
                    rows.AddRange(view.Row(head, KvPlane.Value, token));
                }
            }
        }

        return [.. rows];
    }
}
