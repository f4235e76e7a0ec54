using System.Text;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

public class Crc32CTests
{
    [Fact]
    public void Published_vectors_hold()
    {
        // RFC 3720 B.4 and the check value of the CRC catalogues.
        Assert.Equal(0xE306_9283u, Crc32C.Compute(Encoding.ASCII.GetBytes("123456789")));
        Assert.Equal(0x8A91_36AAu, Crc32C.Compute(new byte[32]));
        Assert.Equal(0x62A8_AB43u, Crc32C.Compute(Enumerable.Repeat((byte)0xFF, 32).ToArray()));
        Assert.Equal(0x46DD_794Eu, Crc32C.Compute(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()));
        Assert.Equal(0x113F_DB5Cu, Crc32C.Compute(Enumerable.Range(0, 32).Select(i => (byte)(31 - i)).ToArray()));
        byte[] readCommand = Convert.FromHexString(
            "01C000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000");
        Assert.Equal(0xD996_3A56u, Crc32C.Compute(readCommand));
        Assert.Equal(0u, Crc32C.Compute(ReadOnlySpan<byte>.Empty));
    }

    [Fact]
    public void Every_length_and_start_agrees_with_division_bit_by_bit()
    {
        byte[] data = RandomBytes(1100, seed: 1);
        for (int length = 0; length <= 1024; length++)
        {
            int start = length % 67;
            ReadOnlySpan<byte> span = data.AsSpan(start, length);
            uint expected = BitByBit(span);
            Assert.Equal(expected, Crc32C.Compute(span));
            Assert.Equal(expected, ~Crc32C.UpdateScalar(~0u, span));
        }
    }

    [Theory]
    [InlineData(4_031)]
    [InlineData(4_032)]
    [InlineData(4_096)]
    [InlineData(12_345)]
    [InlineData(65_536)]
    [InlineData(1_000_003)]
    public void Long_inputs_agree_with_division_bit_by_bit(int length)
    {
        byte[] data = RandomBytes(length + 3, seed: length);
        for (int start = 0; start < 4; start++)
            Assert.Equal(BitByBit(data.AsSpan(start, length)), Crc32C.Compute(data.AsSpan(start, length)));
    }

    [Fact]
    public void A_checksum_continues_and_combines_at_any_cut()
    {
        byte[] data = RandomBytes(9_000, seed: 2);
        uint whole = Crc32C.Compute(data);
        for (int cut = 0; cut <= data.Length; cut += cut < 300 ? 1 : 97)
        {
            uint first = Crc32C.Compute(data.AsSpan(0, cut));
            Assert.Equal(whole, Crc32C.Append(first, data.AsSpan(cut)));
            Assert.Equal(whole, Crc32C.Combine(first, Crc32C.Compute(data.AsSpan(cut)), data.Length - cut));
        }
    }

    [Fact]
    public void Combine_takes_lengths_beyond_memory()
    {
        // Doubling: the checksum of 2^40 zero bytes from that of one.
        uint zeros = Crc32C.Compute([0]);
        for (int power = 0; power < 40; power++)
            zeros = Crc32C.Combine(zeros, zeros, 1L << power);
        Assert.Equal(zeros, Crc32C.Combine(Crc32C.Combine(0, zeros, 1L << 40), 0, 0));
        uint sameInTwoSteps = Crc32C.Compute([0]);
        for (int power = 0; power < 39; power++)
            sameInTwoSteps = Crc32C.Combine(sameInTwoSteps, sameInTwoSteps, 1L << power);
        Assert.Equal(zeros, Crc32C.Combine(sameInTwoSteps, sameInTwoSteps, 1L << 39));
        Assert.Throws<ArgumentOutOfRangeException>("secondLength", () => Crc32C.Combine(1, 2, -1));
    }

    [Fact]
    public void No_length_reads_past_its_span()
    {
        if (!GuardedBuffer.IsAvailable)
            return;
        using var buffer = new GuardedBuffer(8192);
        RandomBytes(8192, seed: 9).CopyTo(buffer.AtStart<byte>(8192));
        for (int length = 0; length <= 8192; length += length < 1100 ? 1 : 61)
        {
            Assert.Equal(~Crc32C.UpdateScalar(~0u, buffer.AtEnd<byte>(length)), Crc32C.Compute(buffer.AtEnd<byte>(length)));
            Assert.Equal(~Crc32C.UpdateScalar(~0u, buffer.AtStart<byte>(length)), Crc32C.Compute(buffer.AtStart<byte>(length)));
        }
    }

    // Also on a machine that never runs the wide loops.
    [Fact]
    public void Multipliers_of_the_wide_loops_are_the_powers_they_stand_for()
    {
        Assert.Equal(Crc32C.PastOneLong, Power((8 * Crc32C.LongStream) - 33));
        Assert.Equal(Crc32C.PastTwoLong, Power((16 * Crc32C.LongStream) - 33));
        Assert.Equal(Crc32C.PastOneShort, Power((8 * Crc32C.ShortStream) - 33));
        Assert.Equal(Crc32C.PastTwoShort, Power((16 * Crc32C.ShortStream) - 33));
        for (int lane = 0; lane < 8; lane++)
        {
            int shift = lane % 2 == 0 ? 31 : -33;
            Assert.Equal(Power((4 * 64 * 8) + shift), Crc32C.Fold512.PastFour[lane]);
            Assert.Equal(Power((64 * 8) + shift), Crc32C.Fold512.PastOne[lane]);
            Assert.Equal(Power((4 * 32 * 8) + shift), Crc32C.Fold256.PastFour[lane % 4]);
            Assert.Equal(Power((32 * 8) + shift), Crc32C.Fold256.PastOne[lane % 4]);
        }

        static uint Power(int exponent) => Crc32C.PowerOfX((ulong)exponent, exponentOfUnit: 0);
    }

    static byte[] RandomBytes(int length, int seed)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    // Long division by x^32 + ... + 1 with the polynomial as RFC 3720 prints it, reflecting by hand: nothing of the library's.
    static uint BitByBit(ReadOnlySpan<byte> data)
    {
        uint remainder = 0xFFFF_FFFF;
        foreach (byte b in data)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                uint input = (uint)(b >> bit) & 1;
                uint top = remainder >> 31;
                remainder = (remainder << 1) ^ ((top ^ input) != 0 ? 0x1EDC_6F41u : 0);
            }
        }

        uint reflected = 0;
        for (int bit = 0; bit < 32; bit++)
            reflected |= ((remainder >> bit) & 1) << (31 - bit);
        return ~reflected;
    }
}
