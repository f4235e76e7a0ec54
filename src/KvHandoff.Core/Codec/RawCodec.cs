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
    public int Encode(in SegmentShape shape, ReadOnlySpan<byte> rows, Span<byte> encoded, out CodecFlags flags)
    {
        int bytes = MaxEncodedBytes(shape);
        CodecArguments.CheckSpans(rows.Length, bytes, encoded.Length, bytes);
        flags = CodecFlags.None;
        rows.CopyTo(encoded);
        return bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, Span<byte> rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows.Length);
        if (error is null && encoded.Length != rows.Length) error = $"A raw segment has {encoded.Length} bytes; expected {rows.Length}.";
        if (error is not null) return false;
        encoded.CopyTo(rows);
        return true;
    }
}
