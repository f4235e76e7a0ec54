using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>
/// LZ4 block format over the rows of a segment: one byte 1 and the block, or, where LZ4 does not make them smaller, one byte 0 and the rows.
/// Cache rows hardly shrink (1.00x for BF16); it is here for caches that hold repeated or empty rows, and is never chosen unasked.
/// </summary>
public sealed class Lz4Codec : IKvCodec
{
    private const byte Stored = 0, Compressed = 1;

    /// <inheritdoc/>
    public CodecId Id => CodecId.Lz4;

    /// <inheritdoc/>
    public string Name => "lz4";

    /// <inheritdoc/>
    public bool IsLossy => false;

    /// <inheritdoc/>
    public bool IsIdentity => false;

    /// <inheritdoc/>
    public bool Supports(ElementType elementType) => elementType.IsDefined();

    /// <inheritdoc/>
    public int MaxEncodedBytes(in SegmentShape shape)
    {
        CodecArguments.CheckShape(this, shape);
        return 1 + Lz4Block.MaxCompressedBytes(shape.RowsBytes);
    }

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">No LZ4 library can be loaded.</exception>
    public int Encode(in SegmentShape shape, in RowRuns rows, Span<byte> history, Span<byte> encoded, out CodecFlags flags)
    {
        int most = MaxEncodedBytes(shape), length = shape.RowsBytes;
        CodecArguments.CheckRows(shape, rows);
        CodecArguments.CheckRoom(encoded.Length, most);
        flags = CodecFlags.None;
        byte[]? gathered = null;
        if (!rows.TryContiguous(out Span<byte> source))
        {
            gathered = ScratchBuffers.Rent(length);
            source = gathered.AsSpan(0, length);
            rows.CopyTo(source);
        }

        int bytes = Lz4Block.Compress(source, encoded[1..most]);
        encoded[0] = bytes < length ? Compressed : Stored;
        if (bytes >= length)
        {
            source.CopyTo(encoded[1..]);
            bytes = length;
        }

        if (gathered is not null) ScratchBuffers.Return(gathered);
        return 1 + bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, in RowRuns rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows);
        if (error is null && (encoded.IsEmpty || encoded[0] > Compressed))
            error = encoded.IsEmpty ? "An lz4 segment has 0 bytes; expected at least 1." : $"An lz4 segment begins with {encoded[0]}; expected 0 (stored) or 1 (compressed).";
        if (error is null && encoded[0] == Stored && encoded.Length - 1 != shape.RowsBytes)
            error = $"A stored lz4 segment has {encoded.Length - 1} bytes of rows; expected {shape.RowsBytes}.";
        if (error is not null) return false;
        if (encoded[0] == Stored)
        {
            rows.CopyFrom(encoded[1..]);
            return true;
        }

        byte[]? scratch = null;
        if (!rows.TryContiguous(out Span<byte> target))
        {
            scratch = ScratchBuffers.Rent(shape.RowsBytes);
            target = scratch.AsSpan(0, shape.RowsBytes);
        }

        bool good = Lz4Block.TryDecompress(encoded[1..], target, out error);
        if (good && scratch is not null) rows.CopyFrom(target);
        if (scratch is not null) ScratchBuffers.Return(scratch);
        return good;
    }
}
