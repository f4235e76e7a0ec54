using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp.Tests;

public sealed class TorchCacheTensorsTests
{
    const int Heads = 3, Dim = 48;

    public static TheoryData<string, DimensionOrder> PlainForms()
    {
        var data = new TheoryData<string, DimensionOrder>();
        foreach (string form in (string[])["fp32", "fp16", "bf16", "fp8-e4m3", "fp8-e5m2"])
            foreach (DimensionOrder order in Enum.GetValues<DimensionOrder>()) data.Add(form, order);
        return data;
    }

    [Theory]
    [MemberData(nameof(PlainForms))]
    public void A_cache_filled_from_the_tensors_of_another_has_its_bytes(string form, DimensionOrder order)
    {
        foreach ((int tokens, int blockTokens) in ((int, int)[])[(150, 64), (1, 16), (48, 16)])
        {
            LayerGroup group = CacheCase.Group(form, Heads, Dim, blockTokens, order);
            using CacheCase source = new CacheCase(group, tokens, seed: 1).Fill(tokens);
            using var target = new CacheCase(group, tokens, seed: 2);
            using var scope = NewDisposeScope();
            foreach (ElementType type in Holding(group.ElementType))
            {
                target.Cache.Pools[0].Fill(0xFF);
                Tensor keys = TorchCacheTensors.Read(source.View, KvPlane.Key, type), values = TorchCacheTensors.Read(source.View, KvPlane.Value, type);
                TorchCacheTensors.Write(target.Sequence, 0, 0, keys, values);
                for (int block = 0; block < source.View.BlockCount; block++)
                {
                    KvLayerView written = target.Sequence.View(0, tokens);
                    Assert.Equal(source.View.Plane(block, KvPlane.Key), written.Plane(block, KvPlane.Key));
                    Assert.Equal(source.View.Plane(block, KvPlane.Value), written.Plane(block, KvPlane.Value));
                }
            }
        }
    }

    [Fact]
    public void A_BF16_tensor_has_the_bytes_of_the_rows()
    {
        const int Tokens = 100;
        using CacheCase sequence = new CacheCase(CacheCase.Group("bf16", Heads, Dim), Tokens).Fill(Tokens);
        using Tensor values = TorchCacheTensors.Read(sequence.View, KvPlane.Value, ElementType.BFloat16);
        Assert.Equal([Heads, Tokens, Dim], values.shape);
        Assert.Equal(ScalarType.BFloat16, values.dtype);
        for (int head = 0; head < Heads; head++)
            for (int token = 0; token < Tokens; token++)
                Assert.Equal(sequence.View.Row(head, KvPlane.Value, token), values.bytes.Slice((head * Tokens + token) * Dim * 2, Dim * 2));
    }

    [Theory]
    [InlineData("fp8-token", 0.07)]
    [InlineData("mxfp8", 0.07)]
    [InlineData("int8-channel", 0.03)]
    [InlineData("int8-token", 0.03)]
    public void Packed_rows_and_the_tail_are_decoded(string form, double tolerance)
    {
        const int Tokens = 150;
        LayerGroup group = CacheCase.Group(form, Heads, 64);
        using var sequence = new CacheCase(group, Tokens);
        float[] rows = Numbers.Normal(5, Tokens, Heads, 64);
        sequence.Sequence.WriteRows(0, 0, rows, rows);
        sequence.Sequence.Advance(Tokens);
        using var scope = NewDisposeScope();
        foreach (KvPlane plane in (KvPlane[])[KvPlane.Key, KvPlane.Value])
        {
            ReadOnlySpan<float> read = MemoryMarshal.Cast<byte, float>(TorchCacheTensors.Read(sequence.View, plane, ElementType.Float32).bytes);
            for (int i = 0; i < read.Length; i++)
            {
                int head = i / (Tokens * 64), token = i / 64 % Tokens;
                float original = rows[(token * Heads + head) * 64 + i % 64];
                // Tokens of the unfinished tile are BF16 rows.
                double allowed = token < 128 ? tolerance * Math.Max(1, Math.Abs(original)) : Math.Abs(original) / 256;
                if (!(Math.Abs(read[i] - original) <= allowed)) Assert.Fail($"{plane} head {head} token {token}: {read[i]}, was {original} +- {allowed}");
            }
        }
    }

    [Fact]
    public void Pieces_written_one_after_the_other_are_one_sequence()
    {
        const int Tokens = 150;
        LayerGroup group = CacheCase.Group("int8-channel", Heads, 64);
        using CacheCase whole = new CacheCase(group, Tokens).Fill(Tokens, seed: 11);
        using var pieces = new CacheCase(group, Tokens, seed: 3);
        using var scope = NewDisposeScope();
        Tensor keys = Numbers.Shaped(Numbers.Normal(11, Tokens, Heads, 64), Tokens, Heads, 64).transpose(0, 1);
        Tensor values = Numbers.Shaped(Numbers.Normal(12, Tokens, Heads, 64), Tokens, Heads, 64).transpose(0, 1);
        foreach ((int start, int count) in ((int, int)[])[(0, 1), (1, 90), (91, 59)])
        {
            TorchCacheTensors.Write(pieces.Sequence, 0, start, keys.narrow(1, start, count), values.narrow(1, start, count));
            pieces.Sequence.Advance(count);
        }

        foreach (KvPlane plane in (KvPlane[])[KvPlane.Key, KvPlane.Value])
            Assert.Equal(TorchCacheTensors.Read(whole.View, plane, ElementType.Float32).bytes, TorchCacheTensors.Read(pieces.View, plane, ElementType.Float32).bytes);
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        using CacheCase sequence = new CacheCase(CacheCase.Group("bf16", Heads, Dim), 10).Fill(10);
        using CacheCase latent = new CacheCase(CacheCase.Group("bf16", 1, Dim) with { Kind = AttentionKind.Latent }, 10).Fill(10);
        using var scope = NewDisposeScope();
        Tensor rows = ones(Heads, 5, Dim), one = ones(1, 5, Dim);
        Assert.Contains("fp8-e4m3 was asked for", Assert.Throws<ArgumentException>(() => TorchCacheTensors.Read(sequence.View, KvPlane.Key, ElementType.Fp8E4M3)).Message);
        Assert.Contains("no plane Value", Assert.Throws<ArgumentException>(() => TorchCacheTensors.Read(latent.View, KvPlane.Value, ElementType.BFloat16)).Message);
        Assert.Contains("needs values", Assert.Throws<ArgumentException>(() => TorchCacheTensors.Write(sequence.Sequence, 0, 0, rows, null)).Message);
        Assert.Contains("takes no values", Assert.Throws<ArgumentException>(() => TorchCacheTensors.Write(latent.Sequence, 0, 0, one, one)).Message);
        Assert.Contains("The tensor is [1][5][48]; layer 0 takes [3][tokens][48]", Assert.Throws<ArgumentException>(() => TorchCacheTensors.Write(sequence.Sequence, 0, 0, rows, one)).Message);
        Assert.Throws<ArgumentException>(() => TorchCacheTensors.Write(sequence.Sequence, 0, 60, rows, rows));
    }

    // The tensor types that hold every number of an element type.
    private static ElementType[] Holding(ElementType stored) => stored switch
    {
        ElementType.Float32 => [ElementType.Float32],
        ElementType.Float16 => [ElementType.Float32, ElementType.Float16],
        ElementType.BFloat16 => [ElementType.Float32, ElementType.BFloat16],
        _ => [ElementType.Float32, ElementType.BFloat16, ElementType.Float16],
    };
}
