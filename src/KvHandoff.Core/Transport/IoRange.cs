using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>
/// A range of native memory to send from or to receive into. The layout is that of <c>struct iovec</c>: a span of ranges goes
/// to the kernel as it is. The memory must stay valid and in place until the call that uses it has returned.
/// </summary>
/// <param name="Address">Address of the first byte.</param>
/// <param name="LengthBytes">Bytes in the range; 0 is allowed and skipped.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct IoRange(nint Address, nint LengthBytes)
{
    /// <summary>Drops <paramref name="bytes"/> bytes, and every empty range then in front, from the head of <paramref name="ranges"/>.</summary>
    internal static Span<IoRange> Advance(Span<IoRange> ranges, nint bytes)
    {
        int index = 0;
        while (index < ranges.Length && bytes >= ranges[index].LengthBytes)
            bytes -= ranges[index++].LengthBytes;
        ranges = ranges[index..];
        if (bytes > 0)
            ranges[0] = new IoRange(ranges[0].Address + bytes, ranges[0].LengthBytes - bytes);
        return ranges;
    }

    /// <summary>Bytes in all of <paramref name="ranges"/>.</summary>
    internal static long TotalBytes(ReadOnlySpan<IoRange> ranges)
    {
        long total = 0;
        foreach (IoRange range in ranges) total += range.LengthBytes;
        return total;
    }
}
