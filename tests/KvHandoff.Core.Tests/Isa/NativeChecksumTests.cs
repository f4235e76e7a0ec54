using System.Runtime.InteropServices;
using KvHandoff.Core.Tests.Numerics;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Isa;

/// <summary>The C++ twin of the checksum, which the C interface uses where its runtime lacks the instruction, against the C# one.</summary>
public sealed unsafe class NativeChecksumTests
{
    private const int FewestBytes = 128;

    private static readonly delegate* unmanaged<uint, byte*, long, long*, uint> Fold = Find();

    [Fact]
    public void Every_length_gives_the_bits_of_the_managed_one_and_reads_no_byte_beyond()
    {
        if (Fold == null || !GuardedBuffer.IsAvailable) return;
        var random = new Random(9);
        const int most = 2048;
        using var buffer = new GuardedBuffer(most);
        for (int length = FewestBytes; length <= most; length += length < 700 ? 1 : 37)
        {
            Span<byte> atEnd = buffer.AtEnd<byte>(length);
            random.NextBytes(atEnd);
            uint before = (uint)random.NextInt64(1L << 32);
            Compare(before, atEnd);
            Compare(0, atEnd);
            Compare(before, buffer.AtStart<byte>(length));
        }
    }

    [Fact]
    public void Bits_wander_through_every_place_of_a_vector()
    {
        if (Fold == null) return;
        var data = new byte[FewestBytes + 3 * 32];
        for (int bit = 0; bit < data.Length * 8; bit++)
        {
            data[bit / 8] = (byte)(1 << (bit % 8));
            Compare(0xFFFF_FFFF, data);
            data[bit / 8] = 0;
        }
    }

    [Fact]
    public void It_is_there_where_native_kernels_are_expected()
    {
        // The managed one is hardware's too; a processor with 256-bit carry-less multiplication has AVX2.
        bool expected = Environment.GetEnvironmentVariable("KVHANDOFF_EXPECT_KERNELS") == "native" && File.Exists("/proc/cpuinfo")
            && File.ReadAllText("/proc/cpuinfo").Contains("vpclmulqdq", StringComparison.Ordinal);
        if (expected) Assert.True(Fold != null, "The native kernels are expected, and have no checksum for this processor, which has the instruction.");
    }

    private static void Compare(uint crc, ReadOnlySpan<byte> data)
    {
        fixed (byte* address = data)
        {
            long taken = 0;
            uint found = ~Fold(~crc, address, data.Length, &taken);
            Assert.InRange(taken, data.Length - 31, data.Length);
            Assert.Equal(Crc32C.Append(crc, data[..(int)taken]), found);
        }
    }

    private static delegate* unmanaged<uint, byte*, long, long*, uint> Find()
    {
        if (!NativeLibrary.TryLoad("kvhandoff_kernels", typeof(Crc32C).Assembly, null, out nint library)
            || !NativeLibrary.TryGetExport(library, "kvhk_find_crc32c_fold", out nint find)) return null;
        return (delegate* unmanaged<uint, byte*, long, long*, uint>)((delegate* unmanaged<nint>)find)();
    }
}
