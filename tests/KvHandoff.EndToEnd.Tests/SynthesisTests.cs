using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The comparison finds every single changed byte, and the synthesised rows are what they claim to be.</summary>
public sealed class SynthesisTests
{
    private const byte Poison = 0xA5;
    private const int Tokens = 131;

    private static readonly KvCacheLayout Layout = KvCacheLayout.Uniform(new ModelIdentity("test", "1", 0), layers: 2, kvHeads: 2, headDim: 40);

    [Fact]
    public void Equal_bytes_are_found_equal_and_all_are_looked_at()
    {
        using PagedKvCache cache = Filled(out KvSequence sequence, seed: 5);
        ComparisonResult found = Compare(sequence, 5);
        Assert.True(found.IsEqual, found.FirstDifference);
        Assert.Equal(Layout.BytesForTokens(Tokens), found.BytesCompared);
        Assert.Equal(Layout.BytesForTokens(192 - Tokens), found.TailBytesChecked);
    }

    [Theory]
    [InlineData(0, 0, KvPlane.Key, 0, 0)]
    [InlineData(1, 1, KvPlane.Value, 130, 79)]
    [InlineData(1, 0, KvPlane.Key, 64, 17)]
    public void One_changed_byte_is_found_and_named(int layer, int head, KvPlane plane, int token, int at)
    {
        using PagedKvCache cache = Filled(out KvSequence sequence, seed: 5);
        sequence.View(layer, Tokens).Row(head, plane, token)[at] ^= 1;
        ComparisonResult found = Compare(sequence, 5);
        Assert.Equal(1, found.DifferentBytes);
        Assert.StartsWith($"layer {layer}, head {head}, {plane}, token {token}, byte {at}:", found.FirstDifference, StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_written_behind_the_last_token_is_found()
    {
        using PagedKvCache cache = Filled(out KvSequence sequence, seed: 5);
        sequence.View(1, 192).Row(1, KvPlane.Value, 191)[79] = 0;
        ComparisonResult found = Compare(sequence, 5);
        Assert.Equal(0, found.DifferentBytes);
        Assert.Equal(1, found.TailBytesChanged);
        Assert.False(found.IsEqual);
    }

    [Fact]
    public void Another_seed_and_swapped_heads_differ()
    {
        using PagedKvCache cache = Filled(out KvSequence sequence, seed: 5);
        Assert.False(Compare(sequence, 6).IsEqual);
        LandedFault.Apply(LandedFault.SwapHeads, sequence);
        Assert.False(Compare(sequence, 5).IsEqual);
    }

    [Fact]
    public void Channels_have_unlike_scales_and_keys_have_outliers()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(new ModelIdentity("test", "1", 0), layers: 1, kvHeads: 1, headDim: 128);
        var synthesizer = new CacheSynthesizer(layout, 11);
        float[] keys = ChannelDeviations(synthesizer.Open(new RowStreamId(0, 0, KvPlane.Key))), values = ChannelDeviations(synthesizer.Open(new RowStreamId(0, 0, KvPlane.Value)));
        Assert.InRange(keys.Max() / keys.Order().ElementAt(64), 8, 200);
        Assert.InRange(values.Max() / values.Order().ElementAt(64), 1.5, 12);
        Assert.InRange(values.Order().ElementAt(64), 0.2, 0.6);
    }

    [Fact]
    public void Neighbouring_tokens_are_correlated_as_stated()
    {
        var stream = new RowStream(3, 0, 0, isKey: false, channels: 16);
        float[] channel = [.. Enumerable.Range(0, 20_000).Select(_ => Next(stream, 16)[5])];
        double mean = channel.Average(), variance = channel.Average(x => (x - mean) * (x - mean));
        double covariance = channel.Zip(channel.Skip(1), (a, b) => (a - mean) * (b - mean)).Average();
        Assert.Equal(RowStream.Correlation, covariance / variance, 0.03);
    }

    private static float[] ChannelDeviations(RowStream stream)
    {
        var sums = new double[128];
        for (int t = 0; t < 1000; t++)
        {
            float[] row = Next(stream, 128);
            for (int c = 0; c < sums.Length; c++) sums[c] += row[c] * (double)row[c];
        }

        return [.. sums.Select(s => (float)Math.Sqrt(s / 1000))];
    }

    private static float[] Next(RowStream stream, int channels)
    {
        var bytes = new byte[channels * 2];
        stream.Next(bytes);
        var row = new float[channels];
        ElementConversion.ToSingle(System.Runtime.InteropServices.MemoryMarshal.Cast<byte, BFloat16>((ReadOnlySpan<byte>)bytes), row);
        return row;
    }

    private static PagedKvCache Filled(out KvSequence sequence, ulong seed)
    {
        PagedKvCache cache = PagedKvCache.Allocate(Layout, Tokens);
        cache.Pools[0].Fill(Poison);
        sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(Tokens));
        new CacheSynthesizer(Layout, seed).Fill(sequence, Tokens);
        sequence.Advance(Tokens);
        return cache;
    }

    private static ComparisonResult Compare(KvSequence sequence, ulong seed) =>
        LandedComparison.Compare(new CacheSynthesizer(Layout, seed), sequence, Tokens, KvCodecs.Raw, Poison);
}
