using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>How the rows of a segment are written on the wire. The values never change their meaning.</summary>
public enum CodecId : byte
{
    /// <summary>The rows as they are.</summary>
    Raw = 0,

    /// <summary>FP8 E4M3 codes and one fp32 scale per token.</summary>
    Fp8E4M3 = 1,

    /// <summary>INT8: K with one fp32 scale per channel of the segment, V with one per token.</summary>
    Int8 = 2,

    /// <summary>FP8 E4M3 in groups of 32 elements with a power-of-two scale: OCP Microscaling's MXFP8.</summary>
    MxFp8 = 3,

    /// <summary>Lossless for BF16: exponents in three bits relative to each channel's largest.</summary>
    ExponentWindow = 4,

    /// <summary>LZ4 block format.</summary>
    Lz4 = 5,

    /// <summary>On frames only: the 8-bit form that one of the two sides stores (<see cref="StoredSegment"/>). Offers call it raw.</summary>
    Stored = 6,

    /// <summary>In offers only: every frame says, raw or a lossless codec.</summary>
    Auto = 254,

    /// <summary>In offers only: every frame says, and it may be a codec that rounds.</summary>
    AutoLossy = 255,
}

/// <summary>What an encoder met besides finite numbers.</summary>
[Flags]
public enum CodecFlags : byte
{
    /// <summary>Every element was finite, or the codec does not look at elements.</summary>
    None = 0,

    /// <summary>At least one element was NaN.</summary>
    HadNaN = 1,

    /// <summary>At least one element was infinite.</summary>
    HadInfinity = 2,
}

/// <summary>Shape of one segment's decoded rows: <c>[Tokens][HeadDim]</c>, contiguous.</summary>
/// <param name="Tokens">Tokens of the granule, 1 to 64.</param>
/// <param name="HeadDim">Elements per row, 1 to 4096.</param>
/// <param name="ElementType">Type of the decoded elements.</param>
/// <param name="Plane">K or V, which some codecs treat differently.</param>
public readonly record struct SegmentShape(int Tokens, int HeadDim, ElementType ElementType, KvPlane Plane = KvPlane.Key)
{
    /// <summary>Elements of the segment.</summary>
    public int Elements => Tokens * HeadDim;

    /// <summary>Bytes of one decoded row.</summary>
    public int RowBytes => HeadDim * ElementType.SizeBytes();

    /// <summary>Bytes of the decoded rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The element type is not defined.</exception>
    public int RowsBytes => Elements * ElementType.SizeBytes();

    /// <summary>Null when every field is in range, else a text that names the field and its value.</summary>
    public string? Check()
    {
        if (Tokens is < 1 or > KvSegment.GranuleTokens) return $"A segment has {Tokens} tokens; allowed: 1 to {KvSegment.GranuleTokens}.";
        if (HeadDim is < 1 or > LayerGroup.MaxHeadDim) return $"A segment has rows of {HeadDim} elements; allowed: 1 to {LayerGroup.MaxHeadDim}.";
        return ElementType.IsDefined() ? null : $"A segment has element type {(byte)ElementType}; allowed: 1 to 6.";
    }
}

/// <summary>
/// Turns the rows of one segment (<see cref="KvSegment"/>) into the bytes that travel, and back. Thread-safe; nothing is allocated
/// but the text of an error.
/// </summary>
public interface IKvCodec
{
    /// <summary>Number on the wire.</summary>
    CodecId Id { get; }

    /// <summary>Name in options and reports.</summary>
    string Name { get; }

    /// <summary>Whether decoded rows may differ from the encoded ones.</summary>
    bool IsLossy { get; }

    /// <summary>Whether the encoded bytes are the rows themselves, so that they may be sent from and received into the blocks.</summary>
    bool IsIdentity { get; }

    /// <summary>Whether rows of <paramref name="elementType"/> can be encoded.</summary>
    bool Supports(ElementType elementType);

    /// <summary>Most bytes that <see cref="Encode"/> writes for <paramref name="shape"/>.</summary>
    /// <exception cref="ArgumentException">The shape is out of range or its element type not supported.</exception>
    int MaxEncodedBytes(in SegmentShape shape);

    /// <summary>
    /// Bytes that the encoder keeps from one granule of a (layer, head, plane) to the next, to do better; 0 when it keeps nothing. Zeros
    /// to begin with. Decoding never needs them.
    /// </summary>
    int HistoryBytes(in SegmentShape shape) => 0;

    /// <summary>Encodes the rows of one segment.</summary>
    /// <param name="shape">Shape of the rows.</param>
    /// <param name="rows">Exactly <see cref="SegmentShape.Tokens"/> rows where they lie; must not overlap <paramref name="encoded"/>.</param>
    /// <param name="history"><see cref="HistoryBytes"/> bytes, updated; empty: none is kept.</param>
    /// <param name="encoded">At least <see cref="MaxEncodedBytes"/> bytes.</param>
    /// <param name="flags">What was met besides finite numbers.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The shape is out of range or not supported, or a span has the wrong length.</exception>
    int Encode(in SegmentShape shape, in RowRuns rows, Span<byte> history, Span<byte> encoded, out CodecFlags flags);

    /// <summary>Decodes one segment from bytes that a peer sent: never throws on them and never writes outside <paramref name="rows"/>.</summary>
    /// <param name="shape">Shape of the rows.</param>
    /// <param name="encoded">What came; its length is not trusted.</param>
    /// <param name="rows">Exactly <see cref="SegmentShape.Tokens"/> rows where they are to lie; contents are undefined after a failure.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, in RowRuns rows, out string? error);
}

/// <summary>The same for rows laid end to end.</summary>
public static class ContiguousRows
{
    /// <summary>Encodes rows laid end to end, without history.</summary>
    /// <inheritdoc cref="IKvCodec.Encode"/>
    public static int Encode(this IKvCodec codec, in SegmentShape shape, Span<byte> rows, Span<byte> encoded, out CodecFlags flags)
    {
        CodecArguments.CheckShape(codec, shape);
        CodecArguments.CheckRows(shape, rows.Length);
        return codec.Encode(shape, new RowRuns(rows, shape.RowBytes), default, encoded, out flags);
    }

    /// <summary>Decodes into rows laid end to end.</summary>
    /// <inheritdoc cref="IKvCodec.TryDecode"/>
    public static bool TryDecode(this IKvCodec codec, in SegmentShape shape, ReadOnlySpan<byte> encoded, Span<byte> rows, out string? error)
    {
        error = shape.Check();
        if (error is null && rows.Length != shape.RowsBytes) error = $"There is room for {rows.Length} bytes of rows; expected {shape.RowsBytes}.";
        return error is null && codec.TryDecode(shape, encoded, new RowRuns(rows, shape.RowBytes), out error);
    }
}
