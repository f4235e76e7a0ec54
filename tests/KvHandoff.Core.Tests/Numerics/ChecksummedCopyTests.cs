using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

public sealed class ChecksummedCopyTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_length_and_alignment_copies_exactly_its_bytes(bool streaming)
    {
        var random = new Random(1);
        int[] lengths = [.. Enumerable.Range(0, 257), 4095, 4096, 4097, 8191, 12_288 + 17, 16_384, 65_536 + 31];
        foreach (int length in lengths)
        {
            foreach (int offset in length <= 256 ? new[] { 0, 1, 31 } : [0, 3, 32, 63])
            {
                using var source = new GuardedBuffer(length + offset);
                using var destination = new GuardedBuffer(length + offset);
                Span<byte> read = source.AtEnd<byte>(length + offset), written = destination.AtEnd<byte>(length + offset);
                random.NextBytes(read);
                written.Fill(0xA5);
                ReadOnlySpan<byte> from = read[offset..];
                uint crc = ChecksummedCopy.Append(0x1234_5678, from, written[offset..], streaming);
                ChecksummedCopy.Fence();
                Assert.True(from.SequenceEqual(written[offset..]), $"{length} bytes from {offset}");
                Assert.Equal(-1, written[..offset].IndexOfAnyExcept((byte)0xA5));
                Assert.Equal(Crc32C.Append(0x1234_5678, from), crc);
            }
        }
    }

    [Fact]
    public void A_longer_destination_keeps_its_rest_and_a_shorter_one_is_refused()
    {
        byte[] source = new byte[5000], destination = new byte[5001];
        new Random(2).NextBytes(source);
        destination[5000] = 0x77;
        ChecksummedCopy.Append(0, source, destination, streaming: true);
        Assert.Equal(0x77, destination[5000]);
        ArgumentException refused = Assert.Throws<ArgumentException>(() => ChecksummedCopy.Append(0, source, new byte[4999], streaming: true));
        Assert.Contains("4999", refused.Message);
    }
}
