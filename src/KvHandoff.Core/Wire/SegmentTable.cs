using System.Buffers.Binary;
using KvHandoff.Codec;
using KvHandoff.Numerics;

namespace KvHandoff.Wire;

/// <summary>One segment of a frame: the checksum of its encoded bytes, scales included, and their number.</summary>
public readonly record struct SegmentEntry(uint Crc32C, uint EncodedBytes)
{
    /// <summary>Size on the wire.</summary>
    public const int Bytes = 8;
}

/// <summary>The table between a frame's header and its payload: one entry per segment, head by head, K before V.</summary>
public static class SegmentTable
{
    /// <summary>Writes the table.</summary>
    /// <returns>Its CRC-32C, for <see cref="FrameHeader.TableCrc"/>.</returns>
    /// <exception cref="ArgumentException">The destination is shorter than the table.</exception>
    public static uint Write(ReadOnlySpan<SegmentEntry> entries, Span<byte> destination)
    {
        int bytes = entries.Length * SegmentEntry.Bytes;
        if (destination.Length < bytes) throw new ArgumentException($"There is room for {destination.Length} bytes; the table has {bytes}.", nameof(destination));
        for (int i = 0; i < entries.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(destination[(i * SegmentEntry.Bytes)..], entries[i].Crc32C);
            BinaryPrimitives.WriteUInt32LittleEndian(destination[(i * SegmentEntry.Bytes + 4)..], entries[i].EncodedBytes);
        }

        return Numerics.Crc32C.Compute(destination[..bytes]);
    }

    /// <summary>
    /// Reads the table of a checked <paramref name="header"/>; null when its checksum fits and the segments together are exactly the payload.
    /// </summary>
    /// <param name="header">From <see cref="FrameHeader.TryRead"/>.</param>
    /// <param name="source">At least <see cref="FrameHeader.TableBytes"/> bytes.</param>
    /// <param name="entries">Receives <see cref="FrameHeader.SegmentCount"/> entries; contents are undefined after an error.</param>
    /// <exception cref="ArgumentException">There is room for fewer entries.</exception>
    public static WireError? TryRead(in FrameHeader header, ReadOnlySpan<byte> source, Span<SegmentEntry> entries)
    {
        int count = header.SegmentCount, bytes = header.TableBytes;
        if (entries.Length < count) throw new ArgumentException($"There is room for {entries.Length} entries; the table has {count}.", nameof(entries));
        if (source.Length < bytes) return WireError.Truncated("The segment table", source.Length, bytes);
        uint computed = Numerics.Crc32C.Compute(source[..bytes]);
        if (computed != header.TableCrc) return WireError.Checksum("The segment table", header.TableCrc, computed);
        if (header.Codec > CodecId.Stored) return WireError.Value("Codec", (byte)header.Codec, "a known codec");
        (int least, int most) = header.SegmentBounds();
        ulong sum = 0;
        for (int i = 0; i < count; i++)
        {
            uint crc = BinaryPrimitives.ReadUInt32LittleEndian(source[(i * SegmentEntry.Bytes)..]);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(source[(i * SegmentEntry.Bytes + 4)..]);
            if (length < least || length > most)
                return new WireError(WireErrorCode.BadLength, $"Segment {i} has {length} bytes; allowed: {least} to {most}.");
            entries[i] = new SegmentEntry(crc, length);
            sum += length;
        }

        return sum == (ulong)header.PayloadBytes ? null
            : new WireError(WireErrorCode.BadLength, $"The segments have {sum} bytes; the frame's payload has {header.PayloadBytes}.");
    }
}
