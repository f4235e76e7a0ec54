using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Numerics;

public static unsafe partial class ChecksummedCopy
{
    private const int LineBytes = 64, VectorBytes = 32, AlignedBytes = 128;

    /// <summary>Puts what was written past the caches in order before everything that this thread writes later.</summary>
    public static void Fence()
    {
        if (Sse.IsSupported) Sse.StoreFence();
    }

    /// <summary>Ahead of the checksum the next step is asked for, behind it this one is written past the caches.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static uint AppendStreaming(uint crc, ReadOnlySpan<byte> source, Span<byte> destination)
    {
        fixed (byte* from = source, to = destination)
        {
            // Stores past the caches are of whole aligned vectors.
            int head = (int)Math.Min(source.Length, -(nint)to & (VectorBytes - 1)), bulk = (source.Length - head) & ~(AlignedBytes - 1);
            crc = AppendCached(crc, source[..head], destination);
            for (int done = head, end = head + bulk; done < end;)
            {
                int step = Math.Min(StepBytes, end - done);
                Prefetch(from + done + step);
                crc = Crc32C.Append(crc, source.Slice(done, step));
                Stream(from + done, to + done, step);
                done += step;
            }

            return AppendCached(crc, source[(head + bulk)..], destination[(head + bulk)..]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* from)
    {
        // Past the end of a run lies the next one, or nothing: an address that nothing is mapped at does no harm.
        if (!Sse.IsSupported) return;
        for (int line = 0; line < StepBytes; line += LineBytes) Sse.Prefetch0(from + line);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Stream(byte* from, byte* to, int bytes)
    {
        for (int i = 0; i < bytes; i += AlignedBytes)
        {
            Vector256<byte> a = Vector256.Load(from + i), b = Vector256.Load(from + i + VectorBytes);
            Vector256<byte> c = Vector256.Load(from + i + 2 * VectorBytes), d = Vector256.Load(from + i + 3 * VectorBytes);
            a.StoreAlignedNonTemporal(to + i);
            b.StoreAlignedNonTemporal(to + i + VectorBytes);
            c.StoreAlignedNonTemporal(to + i + 2 * VectorBytes);
            d.StoreAlignedNonTemporal(to + i + 3 * VectorBytes);
        }
    }
}
