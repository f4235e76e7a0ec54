using KvHandoff.Memory;

namespace KvHandoff.Codec;

/// <summary>Checks that every codec makes: exceptions for the encoder's caller, a text for the decoder's.</summary>
internal static class CodecArguments
{
    public static void CheckShape(IKvCodec codec, in SegmentShape shape)
    {
        if (ReasonNotSupported(codec, shape) is { } reason) throw new ArgumentException(reason, nameof(shape));
    }

    public static void CheckRows(in SegmentShape shape, int rowsBytes)
    {
        if (rowsBytes != shape.RowsBytes) throw new ArgumentException($"The rows have {rowsBytes} bytes; expected {shape.RowsBytes}.", "rows");
    }

    public static void CheckRows(in SegmentShape shape, in RowRuns rows)
    {
        if (rows.RowBytes != shape.RowBytes) throw new ArgumentException($"A row has {rows.RowBytes} bytes; expected {shape.RowBytes}.", nameof(rows));
        CheckRows(shape, rows.LengthBytes);
    }

    public static void CheckRoom(int encoded, int leastEncoded)
    {
        if (encoded < leastEncoded) throw new ArgumentException($"There is room for {encoded} encoded bytes; needed: {leastEncoded}.", nameof(encoded));
    }

    public static string? ReasonNotDecodable(IKvCodec codec, in SegmentShape shape, in RowRuns rows)
    {
        if (ReasonNotSupported(codec, shape) is { } reason) return reason;
        if (rows.LengthBytes != shape.RowsBytes) return $"There is room for {rows.LengthBytes} bytes of rows; expected {shape.RowsBytes}.";
        return rows.RowBytes == shape.RowBytes ? null : $"A row has room for {rows.RowBytes} bytes; expected {shape.RowBytes}.";
    }

    private static string? ReasonNotSupported(IKvCodec codec, in SegmentShape shape)
    {
        if (shape.Check() is { } reason) return reason;
        return codec.Supports(shape.ElementType) ? null : $"Codec {codec.Name} does not take elements of type {shape.ElementType}.";
    }
}
