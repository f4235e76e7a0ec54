using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>Lossless coding of BF16 segments; the format is that of <see cref="ExponentWindow"/>, one tile a segment.</summary>
public sealed class ExponentWindowCodec : IKvCodec
{
    /// <inheritdoc/>
    public CodecId Id => CodecId.ExponentWindow;

    /// <inheritdoc/>
    public string Name => "ew3";

    /// <inheritdoc/>
    public bool IsLossy => false;

    /// <inheritdoc/>
    public bool IsIdentity => false;

    /// <inheritdoc/>
    public bool Supports(ElementType elementType) => elementType == ElementType.BFloat16;

    /// <inheritdoc/>
    public int MaxEncodedBytes(in SegmentShape shape)
    {
        CodecArguments.CheckShape(this, shape);
        return ExponentWindow.MaxEncodedBytes(shape.Tokens, shape.HeadDim);
    }

    /// <inheritdoc/>
    public int HistoryBytes(in SegmentShape shape) => ExponentWindow.HistoryBytes(shape.HeadDim);

    /// <inheritdoc/>
    public int Encode(in SegmentShape shape, in RowRuns rows, Span<byte> history, Span<byte> encoded, out CodecFlags flags)
    {
        int most = MaxEncodedBytes(shape);
        CodecArguments.CheckRows(shape, rows);
        CodecArguments.CheckRoom(encoded.Length, most);
        flags = CodecFlags.None;
        if (rows.Count == 1)
        {
            Span<byte> run = rows.Run(0, out _, out int stride);
            return ExponentWindow.Encode(run, stride, shape.Tokens, shape.HeadDim, history, encoded);
        }

        byte[] gathered = ScratchBuffers.Rent(shape.RowsBytes);
        rows.CopyTo(gathered);
        int bytes = ExponentWindow.Encode(gathered.AsSpan(0, shape.RowsBytes), shape.RowBytes, shape.Tokens, shape.HeadDim, history, encoded);
        ScratchBuffers.Return(gathered);
        return bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, in RowRuns rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows);
        if (error is not null) return false;
        if (rows.Count == 1)
        {
            Span<byte> run = rows.Run(0, out _, out int stride);
            return ExponentWindow.TryDecode(encoded, shape.Tokens, shape.HeadDim, run, stride, out error);
        }

        byte[] decoded = ScratchBuffers.Rent(shape.RowsBytes);
        Span<byte> whole = decoded.AsSpan(0, shape.RowsBytes);
        bool good = ExponentWindow.TryDecode(encoded, shape.Tokens, shape.HeadDim, whole, shape.RowBytes, out error);
        if (good) rows.CopyFrom(whole);
        ScratchBuffers.Return(decoded);
        return good;
    }
}
