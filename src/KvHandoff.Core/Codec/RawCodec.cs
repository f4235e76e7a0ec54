using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>Identity: the encoded bytes are the rows.</summary>
public sealed class RawCodec : IKvCodec
{
    /// <inheritdoc/>
    public CodecId Id => CodecId.Raw;

    /// <inheritdoc/>
    public string Name => "raw";

    /// <inheritdoc/>
    public bool IsLossy => false;

    /// <inheritdoc/>
    public bool IsIdentity => true;

    /// <inheritdoc/>
    public bool Supports(ElementType elementType) => elementType.IsDefined();

    /// <inheritdoc/>
    public int MaxEncodedBytes(in SegmentShape shape)
    {
        CodecArguments.CheckShape(this, shape);
        return shape.RowsBytes;
    }

    /// <inheritdoc/>
    public int Encode(in SegmentShape shape, in RowRuns rows, Span<byte> history, Span<byte> encoded, out CodecFlags flags)
    {
        int bytes = MaxEncodedBytes(shape);
        CodecArguments.CheckRows(shape, rows);
        CodecArguments.CheckRoom(encoded.Length, bytes);
        flags = CodecFlags.None;
        rows.CopyTo(encoded);
        return bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, in RowRuns rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows);
        if (error is null && encoded.Length != rows.LengthBytes) error = $"A raw segment has {encoded.Length} bytes; expected {rows.LengthBytes}.";
        if (error is not null) return false;
        rows.CopyFrom(encoded);
        return true;
    }
}
