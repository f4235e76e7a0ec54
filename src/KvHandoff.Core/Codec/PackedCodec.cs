using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>
/// 8-bit codes and their scales: <c>[Tokens][HeadDim]</c> codes, then the scales, little-endian, as <see cref="PackedRows"/> lays them
/// out. A segment is one tile: K and V may have scales of different kinds.
/// </summary>
public sealed class PackedCodec : IKvCodec
{
    private readonly StorageForm _keys, _values;

    internal PackedCodec(CodecId id, string name, ElementType code, ScaleKind keyScales, ScaleKind valueScales, ScaleType scaleType)
    {
        Id = id;
        Name = name;
        _keys = new StorageForm(code, keyScales, scaleType, KvSegment.GranuleTokens);
        _values = _keys with { ScaleKind = valueScales };
    }

    /// <inheritdoc/>
    public CodecId Id { get; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public bool IsLossy => true;

    /// <inheritdoc/>
    public bool IsIdentity => false;

    /// <summary>How rows of a plane are packed.</summary>
    public StorageForm Form(KvPlane plane) => plane == KvPlane.Key ? _keys : _values;

    /// <inheritdoc/>
    public bool Supports(ElementType elementType) => elementType is ElementType.BFloat16 or ElementType.Float32 or ElementType.Float16;

    /// <inheritdoc/>
    public int MaxEncodedBytes(in SegmentShape shape)
    {
        CodecArguments.CheckShape(this, shape);
        return EncodedBytes(shape);
    }

    /// <inheritdoc/>
    public int Encode(in SegmentShape shape, in RowRuns rows, Span<byte> history, Span<byte> encoded, out CodecFlags flags)
    {
        int bytes = MaxEncodedBytes(shape);
        CodecArguments.CheckRows(shape, rows);
        CodecArguments.CheckRoom(encoded.Length, bytes);
        var source = new RowCursor(rows);
        PackFlags met = PackedRows.Pack(Form(shape.Plane), ref source, shape.ElementType, shape.Tokens, shape.HeadDim, 1f, encoded[..shape.Elements], encoded[shape.Elements..bytes]);
        flags = StoredSegment.CodecFlagsOf(met);
        return bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, in RowRuns rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows);
        if (error is null && encoded.Length != EncodedBytes(shape))
            error = $"A segment of codec {Name} of {shape.Tokens} x {shape.HeadDim} has {encoded.Length} bytes; expected {EncodedBytes(shape)}.";
        StorageForm form = Form(shape.Plane);
        error ??= ScaleCheck.Reason(form, encoded[shape.Elements..]);
        if (error is not null) return false;
        var destination = new RowCursor(rows);
        PackedRows.Unpack(form, encoded[..shape.Elements], encoded[shape.Elements..], 1f, shape.Tokens, shape.HeadDim, ref destination, shape.ElementType);
        return true;
    }

    private int EncodedBytes(in SegmentShape shape) => shape.Elements + Form(shape.Plane).ScaleBytes(shape.Tokens, shape.HeadDim);
}
