using KvHandoff.Codec;
using KvHandoff.Core.Tests.Numerics;
using static KvHandoff.Core.Tests.Codec.ExponentWindowSamples;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>Every tile comes back bit for bit, whatever its shape, place and content.</summary>
public sealed class ExponentWindowTests
{
    private const byte Raw = 0, Constant = 1, Window = 2;

    [Fact]
    public void Every_row_length_comes_back_and_reads_as_described()
    {
        var random = new Random(1);
        for (int dim = 1; dim <= 256; dim++)
        {
            foreach (int tokens in (int[])[1, 2, 7, 16, 63, 64])
            {
                ushort[] values = Cache(tokens, dim, random);
                byte[] encoded = Encode(Bytes(values), tokens, dim);
                Assert.Equal(values, ReadAsDescribed(encoded, tokens, dim));
                Assert.Equal(Bytes(values), Decode(encoded, tokens, dim));
            }
        }
    }

    [Theory]
    [InlineData(64, 576)]
    [InlineData(64, 4096)]
    [InlineData(3, 4095)]
    [InlineData(64, 4093)]
    public void Long_rows_come_back(int tokens, int dim)
    {
        byte[] rows = Bytes(Cache(tokens, dim, new Random(dim)));
        Assert.Equal(rows, Decode(Encode(rows, tokens, dim), tokens, dim));
    }

    [Fact]
    public void Rows_at_odd_strides_and_addresses_come_back_and_nothing_between_them_is_touched()
    {
        var random = new Random(2);
        foreach (int dim in (int[])[1, 8, 15, 16, 64, 65, 100, 128, 200])
        {
            foreach (int gap in (int[])[0, 1, 3, 32, 129])
            {
                const int Tokens = 33, Offset = 1;
                int stride = 2 * dim + gap;
                var source = new byte[Offset + Tokens * stride];
                random.NextBytes(source);
                byte[] rows = Bytes(Cache(Tokens, dim, random));
                for (int t = 0; t < Tokens; t++) rows.AsSpan(t * 2 * dim, 2 * dim).CopyTo(source.AsSpan(Offset + t * stride));
                var encoded = new byte[Offset + ExponentWindow.MaxEncodedBytes(Tokens, dim)];
                int bytes = ExponentWindow.Encode(source.AsSpan(Offset), stride, Tokens, dim, default, encoded.AsSpan(Offset));
                Assert.Equal(Encode(rows, Tokens, dim), encoded.AsSpan(Offset, bytes).ToArray());

                byte[] expected = [.. source], decoded = [.. source];
                for (int t = 0; t < Tokens; t++) decoded.AsSpan(Offset + t * stride, 2 * dim).Fill(0xA5);
                Assert.True(ExponentWindow.TryDecode(encoded.AsSpan(Offset, bytes), Tokens, dim, decoded.AsSpan(Offset), stride, out _));
                Assert.Equal(expected, decoded);
            }
        }
    }

    [Fact]
    public void Nothing_is_read_or_written_outside_the_spans()
    {
        if (!GuardedBuffer.IsAvailable) return;
        var random = new Random(3);
        using GuardedBuffer source = new(70_000), encoded = new(70_100), history = new(600), tight = new(70_100), target = new(70_000);
        foreach (int dim in (int[])[1, 3, 8, 16, 17, 31, 32, 48, 63, 64, 65, 96, 127, 128, 129, 192, 256, 500])
        {
            foreach (int tokens in (int[])[1, 2, 5, 64])
            {
                foreach (bool cacheLike in (bool[])[true, false])
                {
                    byte[] rows = Bytes(cacheLike ? Cache(tokens, dim, random) : Uniform(tokens, dim, random));
                    int most = ExponentWindow.MaxEncodedBytes(tokens, dim);
                    foreach (bool atEnd in (bool[])[true, false])
                    {
                        Span<byte> In(GuardedBuffer buffer, int bytes) => atEnd ? buffer.AtEnd<byte>(bytes) : buffer.AtStart<byte>(bytes);
                        rows.CopyTo(In(source, rows.Length));
                        Span<byte> remembered = In(history, dim + 1);
                        remembered.Clear();
                        int bytes = ExponentWindow.Encode(In(source, rows.Length), 2 * dim, tokens, dim, remembered, In(encoded, most));
                        In(encoded, most)[..bytes].CopyTo(In(tight, bytes));
                        Assert.True(ExponentWindow.TryDecode(In(tight, bytes), tokens, dim, In(target, rows.Length), 2 * dim, out _));
                        Assert.Equal(rows, In(target, rows.Length).ToArray());
                    }
                }
            }
        }
    }

    [Fact]
    public void Every_exponent_comes_back_under_every_base()
    {
        // The values that do not show a pair have the base's own exponent, so that the tile is worth a window.
        const int Tokens = 64, Dim = 64;
        var history = new byte[ExponentWindow.HistoryBytes(Dim)];
        for (int bases = 0; bases < 256; bases++)
        {
            Array.Fill(history, (byte)bases);
            history[^1] = 1;
            var values = new ushort[Tokens * Dim];
            for (int i = 0; i < values.Length; i++)
            {
                int exponent = i % 16 == bases % 16 ? i / 16 : bases;
                values[i] = (ushort)((exponent << 7) | (i & 0x7F) | ((i & 1) << 15));
            }

            byte[] encoded = Encode(Bytes(values), Tokens, Dim, history);
            Assert.Equal(Window, encoded[0]);
            Assert.Equal(249, BitConverter.ToInt32(encoded, 4));
            Assert.Equal(values, ReadAsDescribed(encoded, Tokens, Dim));
            Assert.Equal(Bytes(values), Decode(encoded, Tokens, Dim));
        }
    }

    [Fact]
    public void Every_pair_of_base_and_exponent_has_the_code_of_its_distance()
    {
        const int Dim = 8;
        Span<byte> baseBytes = stackalloc byte[Dim], largest = stackalloc byte[Dim], encoded = stackalloc byte[3 + Dim], escape = stackalloc byte[Dim];
        for (int pair = 0; pair < 65536; pair++)
        {
            byte bases = (byte)(pair >> 8), exponent = (byte)pair;
            var row = new ushort[Dim];
            Array.Fill(row, (ushort)(exponent << 7));
            baseBytes.Fill(bases);
            int escapes = ExponentWindow.EncodeRowScalar(Bytes(row), 0, baseBytes, largest, encoded, escape, 0);
            int distance = (bases - exponent) & 0xFF;
            Assert.Equal(distance >= 7 ? Dim : 0, escapes);
            Assert.Equal(Math.Min(distance, 7), encoded[0] & 7);
            var decoded = new byte[2 * Dim];
            Assert.Equal(escapes, ExponentWindow.DecodeRowScalar(encoded, 0, baseBytes, escape[..escapes], 0, decoded));
            Assert.Equal(Bytes(row), decoded);
        }
    }

    [Theory]
    [InlineData(0x0000, Constant)]
    [InlineData(0x7FC1, Constant)]
    [InlineData(0x8000, Constant)]
    public void A_tile_of_one_value_takes_three_bytes(int value, byte kind)
    {
        var values = new ushort[64 * 128];
        Array.Fill(values, (ushort)value);
        byte[] encoded = Encode(Bytes(values), 64, 128);
        Assert.Equal([kind, (byte)value, (byte)(value >> 8)], encoded);
        Assert.Equal(Bytes(values), Decode(encoded, 64, 128));
        // One value that differs anywhere is enough.
        foreach (int at in (int[])[0, 1, 127, 128, 4000, values.Length - 1])
        {
            ushort[] other = [.. values];
            other[at] ^= 1;
            byte[] window = Encode(Bytes(other), 64, 128);
            Assert.NotEqual(Constant, window[0]);
            Assert.Equal(Bytes(other), Decode(window, 64, 128));
        }
    }

    [Fact]
    public void Without_escapes_a_tile_has_its_least_size()
    {
        const int Tokens = 64, Dim = 128;
        var values = new ushort[Tokens * Dim];
        for (int i = 0; i < values.Length; i++) values[i] = (ushort)((0x7F << 7) | (i & 0x7F));
        byte[] encoded = Encode(Bytes(values), Tokens, Dim);
        Assert.Equal(8 + Dim + Tokens * (Dim + Dim / 8 * 3), encoded.Length);
        Assert.Equal(Bytes(values), Decode(encoded, Tokens, Dim));
    }

    [Fact]
    public void Bits_at_random_stay_raw_and_clear_the_history()
    {
        const int Tokens = 64, Dim = 128;
        var random = new Random(5);
        var history = new byte[ExponentWindow.HistoryBytes(Dim)];
        Assert.Equal(Window, Encode(Bytes(Cache(Tokens, Dim, random)), Tokens, Dim, history)[0]);
        Assert.Contains(history, b => b != 0);
        byte[] rows = Bytes(Uniform(Tokens, Dim, random));
        byte[] encoded = Encode(rows, Tokens, Dim, history);
        Assert.Equal([Raw, .. rows], encoded);
        Assert.Equal(rows, Decode(encoded, Tokens, Dim));
        // What follows is encoded as if there had been nothing before.
        byte[] next = Bytes(Cache(Tokens, Dim, random));
        Assert.Equal(Encode(next, Tokens, Dim), Encode(next, Tokens, Dim, history));
    }

    [Theory]
    [InlineData("all NaN")]
    [InlineData("infinities and denormals")]
    [InlineData("ramp")]
    [InlineData("every other value escapes")]
    [InlineData("all escape under the history")]
    public void Adversarial_tiles_come_back(string kind)
    {
        const int Tokens = 64, Dim = 128;
        var values = new ushort[Tokens * Dim];
        var random = new Random(6);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = kind switch
            {
                "all NaN" => (ushort)(0x7F80 | random.Next(1, 128) | (random.Next(2) << 15)),
                "infinities and denormals" => random.Next(3) switch { 0 => 0x7F80, 1 => 0xFF80, _ => (ushort)random.Next(128) },
                "ramp" => (ushort)(i * 8),
                "every other value escapes" => Bits(i % 2 == 0 ? 1 : 1e-20),
                _ => Bits(1 + random.NextDouble()),
            };
        }

        var history = new byte[ExponentWindow.HistoryBytes(Dim)];
        if (kind == "all escape under the history")
        {
            Array.Fill(history, (byte)10);
            history[^1] = 1;
        }

        byte[] encoded = Encode(Bytes(values), Tokens, Dim, history);
        Assert.True(encoded.Length <= ExponentWindow.MaxEncodedBytes(Tokens, Dim));
        Assert.Equal(values, ReadAsDescribed(encoded, Tokens, Dim));
        Assert.Equal(Bytes(values), Decode(encoded, Tokens, Dim));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void Rows_with_a_period_do_not_deceive_the_sample(int period)
    {
        const int Tokens = 64, Dim = 128;
        var values = new ushort[Tokens * Dim];
        var random = new Random(7);
        // One row in a period is a thousand times the others: the base has to be its exponent or all of it escapes.
        for (int i = 0; i < values.Length; i++) values[i] = Bits((i / Dim % period == 1 ? 1000 : 100) * (0.5 + random.NextDouble()));
        byte[] encoded = Encode(Bytes(values), Tokens, Dim);
        Assert.True(2.0 * values.Length / encoded.Length > 1.3, $"{encoded.Length} bytes");
    }

    [Fact]
    public void The_history_is_the_largest_exponent_of_each_channel_and_serves_as_the_next_base()
    {
        const int Tokens = 40, Dim = 72;
        var random = new Random(8);
        var history = new byte[ExponentWindow.HistoryBytes(Dim)];
        ushort[] first = Cache(Tokens, Dim, random), second = Cache(Tokens, Dim, random);
        Encode(Bytes(first), Tokens, Dim, history);
        byte[] encoded = Encode(Bytes(second), Tokens, Dim, history);
        Assert.Equal(Window, encoded[0]);
        Assert.Equal(LargestExponents(first, Dim), encoded[8..(8 + Dim)]);
        Assert.Equal(LargestExponents(second, Dim), history[..Dim]);
        Assert.Equal(Bytes(second), Decode(encoded, Tokens, Dim));
    }

    [Fact]
    public void Nothing_is_allocated()
    {
        const int Tokens = 64, Dim = 128;
        byte[] rows = Bytes(Cache(Tokens, Dim, new Random(9))), target = new byte[rows.Length];
        var encoded = new byte[ExponentWindow.MaxEncodedBytes(Tokens, Dim)];
        var history = new byte[ExponentWindow.HistoryBytes(Dim)];
        int bytes = ExponentWindow.Encode(rows, 2 * Dim, Tokens, Dim, history, encoded);
        ExponentWindow.TryDecode(encoded.AsSpan(0, bytes), Tokens, Dim, target, 2 * Dim, out _);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            bytes = ExponentWindow.Encode(rows, 2 * Dim, Tokens, Dim, history, encoded);
            ExponentWindow.Encode(rows, 2 * Dim, Tokens, Dim, default, encoded);
            bytes = ExponentWindow.Encode(rows, 2 * Dim, Tokens, Dim, history, encoded);
            ExponentWindow.TryDecode(encoded.AsSpan(0, bytes), Tokens, Dim, target, 2 * Dim, out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static byte[] LargestExponents(ushort[] values, int dim) =>
        [.. Enumerable.Range(0, dim).Select(c => (byte)Enumerable.Range(0, values.Length / dim).Max(t => (values[t * dim + c] >> 7) & 0xFF))];
}
