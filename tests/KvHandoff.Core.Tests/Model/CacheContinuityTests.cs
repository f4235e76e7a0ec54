using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>What a handoff relies on: the cache alone carries the sequence, however it was filled and wherever its blocks lie.</summary>
public sealed class CacheContinuityTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly SyntheticCheckpoint _checkpoint = new() { Hidden = 64, HeadDim = 32, Intermediate = 96 };
    private readonly LlamaModel _model;

    public CacheContinuityTests()
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
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E4M3)]
    public void Chunks_and_threads_do_not_change_a_bit(ElementType type)
    {
        int[] tokens = _checkpoint.RandomTokens(333, 3);
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(type, blockTokens: 32), 2048);
        (uint[] wholeLogits, byte[] wholeRows) = Prefill(cache, threads: 1, tokens, 333);
        foreach ((int threads, int[] chunks) in new (int, int[])[] { (1, [1, 47, 48, 64, 100, 73]), (2, [333]), (3, [7, 326]), (5, [332, 1]) })
        {
            (uint[] logits, byte[] rows) = Prefill(cache, threads, tokens, chunks);
            Assert.Equal(wholeLogits, logits);
            Assert.Equal(wholeRows, rows);
        }
    }

    [Fact]
    public void Prefill_agrees_with_decoding_every_token()
    {
        int[] tokens = _checkpoint.RandomTokens(150, 4);
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(ElementType.Float32), 1024);
        using KvSequence decoded = cache.CreateSequence(), prefilled = cache.CreateSequence();
        var runner = new LlamaRunner(_model, 2);
        float[] last = [];
        foreach (int token in tokens) last = runner.Decode(decoded, token).ToArray();
        float[] expected = runner.Prefill(prefilled, tokens).ToArray();
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], last[i], 2e-4f);
        Assert.Equal((150L, 150L), (runner.PrefilledTokens, runner.DecodedTokens));
    }

    [Fact]
    public void Decode_from_a_copy_in_permuted_slots_gives_the_same_tokens()
    {
        int[] prompt = _checkpoint.RandomTokens(205, 6);
        KvCacheLayout layout = _model.CreateLayout();
        using PagedKvCache source = PagedKvCache.Allocate(layout, 1024), target = PagedKvCache.Allocate(layout, 1024);
        target.Pools[0].Fill(0xFF);
        using KvSequence original = source.CreateSequence(), copy = target.CreateSequence();
        var prefiller = new LlamaRunner(_model, 2);
        float[] logits = prefiller.Prefill(original, prompt).ToArray();

        Assert.True(copy.TryReserve(prompt.Length));
        copy.Table(0).Swap(0, 3);
        copy.Table(0).Swap(1, 2);
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            KvLayerView from = original.View(layer), to = copy.View(layer, prompt.Length);
            for (int block = 0; block < from.BlockCount; block++) from.Block(block).CopyTo(to.Block(block));
        }

        copy.Advance(prompt.Length);
        var decoder = new LlamaRunner(_model, 1);
        int here = GreedySampler.Sample(logits), there = here;
        for (int step = 0; step < 100; step++)
        {
            uint[] expected = Bits(prefiller.Decode(original, here)), actual = Bits(decoder.Decode(copy, there));
            Assert.Equal(expected, actual);
            here = GreedySampler.Sample(prefiller.Decode(original, here));
            there = GreedySampler.Sample(decoder.Decode(copy, there));
            Assert.Equal(here, there);
        }

        Assert.Equal((0L, 200L), (decoder.PrefilledTokens, decoder.DecodedTokens));
    }

    [Fact]
    public void A_layer_is_called_complete_when_its_rows_are_in_the_cache()
    {
        int[] tokens = _checkpoint.RandomTokens(70, 8);
        using PagedKvCache cache = PagedKvCache.Allocate(_model.CreateLayout(), 256);
        cache.Pools[0].Fill(0xFF);
        using KvSequence sequence = cache.CreateSequence();
        var seen = new List<int>();
        var atCallback = new List<byte[]>();
        new LlamaRunner(_model, 2).Prefill(sequence, tokens, layer =>
        {
            Assert.Equal(0, sequence.Tokens);
            Assert.All(Rows(sequence, layer + 1, 70), row => Assert.Equal(0xFF, row));
            seen.Add(layer);
            atCallback.Add(Rows(sequence, layer, 70));
        });
        Assert.Equal([0, 1, 2], seen);
        for (int layer = 0; layer < 3; layer++) Assert.Equal(atCallback[layer], Rows(sequence, layer, 70));
    }

    [Fact]
    public void The_first_decode_step_waits_layer_by_layer()
    {
        int[] prompt = _checkpoint.RandomTokens(100, 10);
        KvCacheLayout layout = _model.CreateLayout();
        using PagedKvCache source = PagedKvCache.Allocate(layout, 256), target = PagedKvCache.Allocate(layout, 256);
        target.Pools[0].Fill(0xFF);
        using KvSequence original = source.CreateSequence(), arriving = target.CreateSequence();
        var runner = new LlamaRunner(_model, 1);
        runner.Prefill(original, prompt);
        Assert.True(arriving.TryReserve(prompt.Length));
        arriving.Advance(prompt.Length);
        var waited = new List<int>();
        // Layer by layer: what has not landed yet is NaN, so reading it early would show.
        uint[] actual = Bits(runner.Decode(arriving, 5, layer =>
        {
            waited.Add(layer);
            KvLayerView from = original.View(layer), to = arriving.View(layer);
            for (int block = 0; block < from.BlockCount; block++) from.Block(block).CopyTo(to.Block(block));
        }));
        Assert.Equal([0, 1, 2], waited);
        Assert.Equal(Bits(runner.Decode(original, 5)), actual);
        Assert.Throws<OperationCanceledException>(() => runner.Decode(arriving, 5, _ => throw new OperationCanceledException()));
        Assert.Equal(101, arriving.Tokens);
    }

    private (uint[] Logits, byte[] Rows) Prefill(PagedKvCache cache, int threads, int[] tokens, params int[] chunks)
    {
        using KvSequence sequence = cache.CreateSequence();
        var runner = new LlamaRunner(_model, threads);
        uint[] logits = [];
        int at = 0;
        foreach (int chunk in chunks)
        {
            logits = Bits(runner.Prefill(sequence, tokens.AsSpan(at, chunk)));
            at += chunk;
        }

        Assert.Equal(tokens.Length, at);
        return (logits, [.. Enumerable.Range(0, 3).SelectMany(layer => Rows(sequence, layer, tokens.Length))]);
    }

    private static byte[] Rows(KvSequence sequence, int layer, int tokens)
    {
        var rows = new List<byte>();
        if (layer == sequence.Cache.Layout.LayerCount) return [];
        KvLayerView view = sequence.View(layer, tokens);
        for (int head = 0; head < view.Geometry.KvHeads; head++)
        {
            for (int token = 0; token < tokens; token++)
            {
                rows.AddRange(view.Row(head, KvPlane.Key, token));
                rows.AddRange(view.Row(head, KvPlane.Value, token));
            }
        }

        return [.. rows];
    }

    private static uint[] Bits(ReadOnlySpan<float> logits)
    {
        var bits = new uint[logits.Length];
        for (int i = 0; i < bits.Length; i++)
        {
            Assert.True(float.IsFinite(logits[i]), $"logit {i} is {logits[i]}");
            bits[i] = BitConverter.SingleToUInt32Bits(logits[i]);
        }

        return bits;
    }
}
