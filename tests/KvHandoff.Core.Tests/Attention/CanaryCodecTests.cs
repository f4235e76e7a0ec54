using System.Buffers.Binary;
using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Tests.Attention;

public sealed class CanaryCodecTests
{
    [Theory]
    [InlineData("gqa", true)]
    [InlineData("gqa", false)]
    [InlineData("mla", true)]
    [InlineData("mla", false)]
    public void Sets_are_read_back(string name, bool seeded)
    {
        using CanaryCase sent = CanaryCase.Create(name, 130);
        CanarySet set = seeded ? sent.Seeded(5) : sent.Engine(5) with { LogitCap = 30 };
        if (!seeded) set = set with { Pairs = set.Pairs.SetItem(1, set.Pairs[1] with { Sink = -0.5f }) };
        byte[] bytes = Bytes(set);
        Assert.True(CanaryCodec.TryRead(bytes, CanaryCase.Id, out CanarySet? read, out string? error), error);
        Assert.Null(read!.Check(sent.Layout));
        Assert.Equal((set.QueryHeads, set.FirstToken, set.Tokens, set.LatentDim, set.SoftmaxScale, set.LogitCap), (read.QueryHeads, read.FirstToken, read.Tokens, read.LatentDim, read.SoftmaxScale, read.LogitCap));
        Assert.Equal(set.Pairs.Length, read.Pairs.Length);
        for (int i = 0; i < set.Pairs.Length; i++)
        {
            Assert.Equal((set.Pairs[i].Layer, set.Pairs[i].Head, set.Pairs[i].Sink), (read.Pairs[i].Layer, read.Pairs[i].Head, read.Pairs[i].Sink));
            AttentionBits.Same(set.Pairs[i].Query.ToArray(), read.Pairs[i].Query.ToArray(), "query");
            AttentionBits.Same(set.Pairs[i].Output.ToArray(), read.Pairs[i].Output.ToArray(), "output");
        }

        Assert.Equal(bytes, Bytes(read));
    }

    [Fact]
    public void A_seeded_query_is_that_of_an_independent_implementation()
    {
        // Made with Python's hashlib from the description of SeededQuery: id, layer 3, head 2, factor 0.5, exponents 0, 1, -1, 0, 0.
        float[] query = SeededQuery.Derive(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 3, 2, 0.5f, [0, 1, -1, 0, 0]);
        Assert.Equal([-1099942213, -1103004368, -1084875653, 1058927511, 1045813042], query.Select(x => BitConverter.SingleToInt32Bits(x)));
    }

    [Fact]
    public void Truncated_and_changed_bytes_are_refused_or_read_and_never_throw()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", 70);
        foreach (CanarySet set in (CanarySet[])[sent.Seeded(2), sent.Engine(2)])
        {
            byte[] bytes = Bytes(set);
            for (int length = 0; length < bytes.Length; length++) Refused(bytes.AsSpan(0, length));
            Refused([.. bytes, 0]);
            for (int i = 0; i < bytes.Length; i++)
            {
                foreach (byte mask in (byte[])[1, 128, 255])
                {
                    byte[] changed = [.. bytes];
                    changed[i] ^= mask;
                    if (CanaryCodec.TryRead(changed, CanaryCase.Id, out CanarySet? read, out string? error)) Assert.True(read!.Check(sent.Layout) is null or { Length: > 0 });
                    else Assert.NotEmpty(error!);
                    // Magic, version, kind and reserved fields have one meaning.
                    if (i < 8 || i is >= 36 and < 40) Assert.NotNull(error);
                }
            }
        }

        static void Refused(ReadOnlySpan<byte> bytes)
        {
            Assert.False(CanaryCodec.TryRead(bytes, CanaryCase.Id, out CanarySet? set, out string? error));
            Assert.Null(set);
            Assert.NotEmpty(error!);
        }
    }

    [Fact]
    public void Random_bytes_never_throw_and_never_take_much_memory()
    {
        var random = new Random(2);
        using CanaryCase sent = CanaryCase.Create("gqa", 70);
        byte[] valid = Bytes(sent.Engine(1));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int round = 0; round < 5000; round++)
        {
            byte[] bytes = new byte[random.Next(300)];
            random.NextBytes(bytes);
            valid.AsSpan(0, Math.Min(bytes.Length, random.Next(60))).CopyTo(bytes);
            CanaryCodec.TryRead(bytes, CanaryCase.Id, out _, out _);
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64L << 20);
    }

    [Fact]
    public void A_claim_of_many_pairs_takes_no_memory()
    {
        byte[] bytes = new byte[CanaryCodec.HeaderBytes];
        using (CanaryCase sent = CanaryCase.Create("gqa", 70)) Bytes(sent.Engine(1)).AsSpan(0, bytes.Length).CopyTo(bytes);
        foreach ((uint pairs, string expected) in ((uint, string)[])[(0, "0 pairs"), (257, "257 pairs; allowed: 1 to 256"), (uint.MaxValue, "4294967295"), (256, "take 4136")])
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), pairs);
            Assert.False(CanaryCodec.TryRead(bytes, CanaryCase.Id, out _, out string? error));
            Assert.Contains(expected, error);
        }
    }

    [Fact]
    public void What_does_not_fit_the_model_is_named()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", 70), latent = CanaryCase.Create("mla", 70);
        CanarySet good = sent.Engine(2), rows = latent.Engine(2);
        Assert.Null(good.Check(sent.Layout));
        Named(good with { Pairs = [] }, "0 pairs");
        Named(good with { Pairs = [.. Enumerable.Repeat(good.Pairs[0], 257)] }, "257 pairs");
        Named(good with { QueryHeads = 6 }, "6 query heads are no multiple of the 4");
        Named(good with { Tokens = 0 }, "0..0");
        Named(good with { FirstToken = 70 }, "70..70");
        Named(good with { SoftmaxScale = float.NaN }, "NaN");
        Named(good with { LogitCap = -1 }, "-1");
        Named(With(p => p with { Layer = 3 }), "layer 3; the model has 3");
        Named(With(p => p with { Head = 8 }), "head 8; layer 0 has 8");
        Named(With(p => p with { Query = new float[63] }), "63 elements");
        Named(With(p => p with { Output = new float[65] }), "65 elements");
        Named(With(p => p with { Output = Enumerable.Repeat(float.PositiveInfinity, 64).ToArray() }), "output has");
        Named(With(p => p with { Query = Enumerable.Repeat(float.NaN, 64).ToArray() }), "query has");
        Named(With(p => p with { Sink = float.NaN }), "sink");
        Assert.Contains("no softmax scale", (rows with { SoftmaxScale = 0 }).Check(latent.Layout));
        Assert.Contains("latent of 161", (rows with { LatentDim = 161 }).Check(latent.Layout));
        Assert.Equal(CanaryOutcome.Malformed, AttentionCanary.Verify(sent.Sequence, good with { Tokens = 0 }, CanaryPrecision.Exact).Outcome);
        Assert.Equal(CanaryOutcome.NotHeld, AttentionCanary.Verify(sent.Sequence, good with { Tokens = 5000 }, CanaryPrecision.Exact).Outcome);

        CanarySet With(Func<CanaryPair, CanaryPair> change) => good with { Pairs = good.Pairs.SetItem(0, change(good.Pairs[0])) };
        void Named(CanarySet set, string expected) => Assert.Contains(expected, set.Check(sent.Layout));
    }

    static byte[] Bytes(CanarySet set)
    {
        var bytes = new byte[CanaryCodec.ByteCount(set)];
        Assert.Equal(bytes.Length, CanaryCodec.Write(set, bytes));
        return bytes;
    }
}
