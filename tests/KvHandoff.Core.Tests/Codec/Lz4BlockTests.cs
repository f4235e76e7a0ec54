using KvHandoff.Codec;
using KvHandoff.Core.Tests.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>LZ4 blocks through the system's library; where it is missing, the reason instead.</summary>
public sealed class Lz4BlockTests
{
    // The text of the format's description compressed by hand: 4 literals, then a match of 12 at distance 4, then 5 literals at the end.
    private static readonly byte[] HandmadeBlock = [0x48, (byte)'a', (byte)'b', (byte)'c', (byte)'d', 4, 0, 0x50, (byte)'v', (byte)'w', (byte)'x', (byte)'y', (byte)'z'];

    [Fact]
    public void Availability_and_reason_agree()
    {
        Assert.Equal(Lz4Block.IsAvailable, Lz4Block.ReasonUnavailable is null);
        if (Lz4Block.IsAvailable) Assert.Matches(@"^(liblz4|K4os\.Compression\.LZ4) \d+\.\d+\.\d+", Lz4Block.ProviderName);
        else Assert.Equal("none", Lz4Block.ProviderName);
    }

    [Fact]
    public void A_missing_library_is_named_with_its_package()
    {
        string? reason = Lz4Block.ReasonNotUsable("libno-such-lz4.so.1");
        Assert.Contains("libno-such-lz4.so.1", reason, StringComparison.Ordinal);
        Assert.Contains("liblz4-1", reason, StringComparison.Ordinal);
        string? wrong = Lz4Block.ReasonNotUsable("libc.so.6");
        if (OperatingSystem.IsLinux()) Assert.Contains("LZ4_compress_default", wrong, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_comes_back()
    {
        if (!Lz4Block.IsAvailable) return;
        var random = new Random(31);
        foreach (int length in (int[])[0, 1, 5, 12, 13, 255, 4096, 16384, 100_000])
        {
            foreach (int letters in (int[])[1, 3, 256])
            {
                byte[] raw = Data(length, letters, random);
                byte[] compressed = Compress(raw);
                var back = new byte[length];
                Assert.True(Lz4Block.TryDecompress(compressed, back, out string? error), error);
                Assert.Equal(raw, back);
                if (length >= 4096 && letters == 1) Assert.True(compressed.Length < length / 100);
            }
        }
    }

    [Fact]
    public void A_block_made_by_hand_is_understood()
    {
        if (!Lz4Block.IsAvailable) return;
        var raw = new byte[21];
        Assert.True(Lz4Block.TryDecompress(HandmadeBlock, raw, out string? error), error);
        Assert.Equal("abcdabcdabcdabcdvwxyz"u8.ToArray(), raw);
    }

    [Fact]
    public void A_block_cut_short_anywhere_is_refused()
    {
        if (!Lz4Block.IsAvailable) return;
        byte[] raw = Data(2000, 3, new Random(32)), compressed = Compress(raw);
        for (int length = 0; length < compressed.Length; length++)
        {
            Assert.False(Lz4Block.TryDecompress(compressed.AsSpan(0, length), new byte[raw.Length], out string? error));
            Assert.Contains($"{length} bytes", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_raw_length_has_to_be_exact()
    {
        if (!Lz4Block.IsAvailable) return;
        byte[] raw = Data(2000, 3, new Random(33)), compressed = Compress(raw);
        Assert.False(Lz4Block.TryDecompress(compressed, new byte[raw.Length - 1], out string? shorter));
        Assert.Contains("1999", shorter, StringComparison.Ordinal);
        Assert.False(Lz4Block.TryDecompress(compressed, new byte[raw.Length + 1], out string? longer));
        Assert.Contains("2000 raw bytes; expected 2001", longer, StringComparison.Ordinal);
    }

    [Fact]
    public void Flipped_bits_and_bytes_at_random_write_nothing_outside()
    {
        if (!Lz4Block.IsAvailable || !GuardedBuffer.IsAvailable) return;
        var random = new Random(34);
        byte[] raw = Data(600, 3, random), compressed = Compress(raw);
        using GuardedBuffer source = new(4096), target = new(4096);
        Span<byte> rows = target.AtEnd<byte>(raw.Length), block = source.AtEnd<byte>(compressed.Length);
        for (int bit = 0; bit < 8 * compressed.Length; bit++)
        {
            compressed.CopyTo(block);
            block[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal(Lz4Block.TryDecompress(block, rows, out string? error), error is null);
        }

        for (int i = 0; i < 2000; i++)
        {
            Span<byte> noise = source.AtEnd<byte>(random.Next(1, 300));
            random.NextBytes(noise);
            Assert.Equal(Lz4Block.TryDecompress(noise, rows, out string? error), error is null);
        }
    }

    [Fact]
    public void Short_destinations_and_impossible_sizes_are_the_callers_mistake()
    {
        Assert.Throws<ArgumentException>(() => Lz4Block.Compress(new byte[100], new byte[100]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Lz4Block.MaxCompressedBytes(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Lz4Block.MaxCompressedBytes(Lz4Block.MaxRawBytes + 1));
        Assert.Equal(Lz4Block.MaxRawBytes + Lz4Block.MaxRawBytes / 255 + 16, Lz4Block.MaxCompressedBytes(Lz4Block.MaxRawBytes));
    }

    private static byte[] Compress(byte[] raw)
    {
        var compressed = new byte[Lz4Block.MaxCompressedBytes(raw.Length)];
        return compressed[..Lz4Block.Compress(raw, compressed)];
    }

    private static byte[] Data(int length, int letters, Random random)
    {
        var data = new byte[length];
        for (int i = 0; i < length; i++) data[i] = (byte)random.Next(letters);
        return data;
    }
}
