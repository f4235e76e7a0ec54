using KvHandoff.Codec;
using KvHandoff.Core.Tests.Numerics;
using static KvHandoff.Core.Tests.Codec.ExponentWindowSamples;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>Whatever bytes come, the decoder returns, and nothing outside the rows changes.</summary>
public sealed class ExponentWindowHostileTests
{
    public static TheoryData<int, int> Shapes => new() { { 4, 64 }, { 9, 20 }, { 64, 33 }, { 20, 128 }, { 3, 1 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_tile_cut_short_anywhere_is_refused(int tokens, int dim)
    {
        byte[] encoded = Encode(Bytes(Cache(tokens, dim, new Random(11))), tokens, dim);
        for (int length = 0; length < encoded.Length; length++) AssertRefused(encoded.AsSpan(0, length), tokens, dim);
        AssertRefused([.. encoded, 0], tokens, dim);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_flipped_bit_anywhere_is_survived(int tokens, int dim)
    {
        byte[] rows = Bytes(Cache(tokens, dim, new Random(12)));
        byte[] encoded = Encode(rows, tokens, dim);
        using var target = new Target(tokens, dim);
        for (int bit = 0; bit < 8 * encoded.Length; bit++)
        {
            encoded[bit / 8] ^= (byte)(1 << (bit % 8));
            target.Decode(encoded);
            encoded[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.Equal(rows, Decode(encoded, tokens, dim));
    }

    [Fact]
    public void Codes_that_mark_more_or_fewer_escapes_than_there_are_are_refused()
    {
        const int Tokens = 64, Dim = 128;
        byte[] encoded = Encode(Bytes(Cache(Tokens, Dim, new Random(13))), Tokens, Dim);
        int codes = 8 + Dim;
        // The first eight codes all escape, then none does.
        byte[] more = [.. encoded], fewer = [.. encoded];
        more.AsSpan(codes, 3).Fill(0xFF);
        for (int t = 0; t < Tokens; t++) fewer.AsSpan(codes + t * (Dim + Dim / 8 * 3), Dim / 8 * 3).Clear();
        Assert.Contains("escapes", AssertRefused(more, Tokens, Dim), StringComparison.Ordinal);
        Assert.Contains("mark 0 escapes", AssertRefused(fewer, Tokens, Dim), StringComparison.Ordinal);
        // All codes of all rows escape, which runs through the escapes many times over.
        byte[] all = [.. encoded];
        for (int t = 0; t < Tokens; t++) all.AsSpan(codes + t * (Dim + Dim / 8 * 3), Dim / 8 * 3).Fill(0xFF);
        AssertRefused(all, Tokens, Dim);
    }

    [Fact]
    public void Announced_lengths_are_not_trusted()
    {
        const int Tokens = 64, Dim = 64;
        byte[] encoded = Encode(Bytes(Cache(Tokens, Dim, new Random(14))), Tokens, Dim);
        foreach (uint announced in (uint[])[0, 1, uint.MaxValue, int.MaxValue, 1u << 31, Tokens * Dim + 1])
        {
            byte[] wrong = [.. encoded];
            BitConverter.TryWriteBytes(wrong.AsSpan(4), announced);
            Assert.Contains($"{announced} escapes", AssertRefused(wrong, Tokens, Dim), StringComparison.Ordinal);
        }

        // More escapes than values, announced and present.
        int escapes = Tokens * Dim + 1;
        var tooMany = new byte[8 + Dim + Tokens * (Dim + Dim / 8 * 3) + escapes];
        tooMany[0] = 2;
        BitConverter.TryWriteBytes(tooMany.AsSpan(4), escapes);
        Assert.Contains($"{escapes} escapes for {Tokens * Dim} values", AssertRefused(tooMany, Tokens, Dim), StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_kinds_and_set_spare_bytes_are_refused()
    {
        byte[] encoded = Encode(Bytes(Cache(64, 64, new Random(15))), 64, 64);
        for (int kind = 3; kind < 256; kind++) Assert.Contains($"kind {kind};", AssertRefused([(byte)kind, .. encoded[1..]], 64, 64), StringComparison.Ordinal);
        for (int spare = 1; spare < 4; spare++)
        {
            byte[] wrong = [.. encoded];
            wrong[spare] = 1;
            AssertRefused(wrong, 64, 64);
        }
    }

    [Fact]
    public void Bytes_at_random_are_survived()
    {
        var random = new Random(16);
        foreach ((int tokens, int dim) in ((int, int)[])[(64, 128), (5, 64), (1, 1), (17, 50), (64, 8)])
        {
            using var target = new Target(tokens, dim);
            int rest = 8 + dim + tokens * (3 * ((dim + 7) / 8) + dim);
            for (int i = 0; i < 400; i++)
            {
                var encoded = new byte[i % 2 == 0 ? random.Next(3 * tokens * dim + 20) : rest + random.Next(tokens * dim + 1)];
                random.NextBytes(encoded);
                if (i % 2 == 1)
                {
                    // Passes every check of the header, so that the codes are reached.
                    encoded.AsSpan(0, 8).Clear();
                    encoded[0] = 2;
                    BitConverter.TryWriteBytes(encoded.AsSpan(4), encoded.Length - rest);
                }

                target.Decode(encoded);
            }
        }
    }

    [Fact]
    public void The_callers_own_mistakes_are_exceptions()
    {
        byte[] rows = new byte[2 * 64 * 128], encoded = new byte[ExponentWindow.MaxEncodedBytes(64, 128)];
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.Encode(rows, 256, 65, 128, default, encoded));
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.Encode(rows, 256, 0, 128, default, encoded));
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.Encode(rows, 256, 64, 4097, default, encoded));
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.Encode(rows, 255, 64, 128, default, encoded));
        Assert.Throws<ArgumentException>(() => ExponentWindow.Encode(rows.AsSpan(1), 256, 64, 128, default, encoded));
        Assert.Throws<ArgumentException>(() => ExponentWindow.Encode(rows, 256, 64, 128, default, encoded.AsSpan(1)));
        Assert.Throws<ArgumentException>(() => ExponentWindow.Encode(rows, 256, 64, 128, new byte[128], encoded));
        Assert.Throws<ArgumentException>(() => ExponentWindow.TryDecode(encoded, 64, 128, rows.AsSpan(1), 256, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.TryDecode(encoded, 64, 128, rows, int.MinValue, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => ExponentWindow.HistoryBytes(0));
    }

    private static string AssertRefused(ReadOnlySpan<byte> encoded, int tokens, int dim)
    {
        using var target = new Target(tokens, dim);
        string? error = target.Decode(encoded);
        Assert.NotNull(error);
        return error;
    }

    // Rows between guard pages, at their end, with gaps between the rows that must keep what they hold.
    private sealed class Target(int tokens, int dim) : IDisposable
    {
        private const byte Kept = 0x5C;
        private readonly int _stride = 2 * dim + 6;
        private readonly GuardedBuffer _rows = new(tokens * (2 * dim + 6)), _encoded = new(4 * tokens * dim + 400);

        public string? Decode(ReadOnlySpan<byte> encoded)
        {
            int bytes = (tokens - 1) * _stride + 2 * dim;
            Span<byte> rows = _rows.AtEnd<byte>(bytes), copy = _encoded.AtEnd<byte>(encoded.Length);
            rows.Fill(Kept);
            encoded.CopyTo(copy);
            bool decoded = ExponentWindow.TryDecode(copy, tokens, dim, rows, _stride, out string? error);
            Assert.Equal(decoded, error is null);
            Assert.NotEqual("", error);
            for (int t = 0; t < tokens - 1; t++) Assert.Equal(-1, rows.Slice(t * _stride + 2 * dim, _stride - 2 * dim).IndexOfAnyExcept(Kept));
            return error;
        }

        public void Dispose()
        {
            _rows.Dispose();
            _encoded.Dispose();
        }
    }
}
