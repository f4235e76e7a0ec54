namespace KvHandoff.Numerics;

/// <summary>Copies bytes and continues a CRC-32C of them in one pass over the source.</summary>
/// <remarks>Every instruction set gives the same bytes and checksum. Thread-safe; nothing is allocated.</remarks>
public static partial class ChecksummedCopy
{
    /// <summary>Copies <paramref name="source"/> and returns the checksum continued over it.</summary>
    /// <param name="crc">A finished checksum, 0 to begin with.</param>
    /// <param name="source">Bytes to copy; must not overlap <paramref name="destination"/>.</param>
    /// <param name="destination">At least as long.</param>
    /// <param name="streaming">
    /// Write past the caches: half again as fast for what is too large for them, slower where the destination is read next. What was written so is
    /// in order for other threads and processes only after <see cref="Fence"/>.
    /// </param>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static uint Append(uint crc, ReadOnlySpan<byte> source, Span<byte> destination, bool streaming)
    {
        if (destination.Length < source.Length)
            throw new ArgumentException($"There is room for {destination.Length} bytes; {source.Length} are to be copied.", nameof(destination));
        return streaming && InstructionSet.VectorBits >= 256 ? AppendStreaming(crc, source, destination) : AppendCached(crc, source, destination);
    }
}
