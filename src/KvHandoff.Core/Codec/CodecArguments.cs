namespace KvHandoff.Codec;

/// <summary>Checks that every codec makes: exceptions for the encoder's caller, a text for the decoder's.</summary>
internal static class CodecArguments
{
    public static void CheckShape(IKvCodec codec, in SegmentShape shape)
    {
        if (ReasonNotSupported(codec, shape) is { } reason) throw new ArgumentException(reason, nameof(shape));
    }

    public static void CheckSpans(int rows, int expectedRows, int encoded, int leastEncoded)
    {
        if (rows != expectedRows) throw new ArgumentException($"The rows have {rows} bytes; expected {expectedRows}.", nameof(rows));
        if (encoded < leastEncoded) throw new ArgumentException($"There is room for {encoded} encoded bytes; needed: {leastEncoded}.", nameof(encoded));
    }

    public static string? ReasonNotDecodable(IKvCodec codec, in SegmentShape shape, int rows)
    {
        if (ReasonNotSupported(codec, shape) is { } reason) return reason;
        return rows == shape.RowsBytes ? null : $"There is room for {rows} bytes of rows; expected {shape.RowsBytes}.";
    }

    private static string? ReasonNotSupported(IKvCodec codec, in SegmentShape shape)
    {
        if (shape.Check() is { } reason) return reason;
        return codec.Supports(shape.ElementType) ? null : $"Codec {codec.Name} does not take elements of type {shape.ElementType}.";
    }
}
