namespace KvHandoff.Numerics;

public static partial class ChecksummedCopy
{
    // What of the source the checksum has read is in the nearest cache when it is copied.
    private const int StepBytes = 4096;

    /// <summary>The definition: step by step, through the caches.</summary>
    internal static uint AppendCached(uint crc, ReadOnlySpan<byte> source, Span<byte> destination)
    {
        for (int done = 0; done < source.Length; done += StepBytes)
        {
            ReadOnlySpan<byte> step = source.Slice(done, Math.Min(StepBytes, source.Length - done));
            crc = Crc32C.Append(crc, step);
            step.CopyTo(destination[done..]);
        }

        return crc;
    }
}
