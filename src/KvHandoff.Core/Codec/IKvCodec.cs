using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>How the rows of a segment are written on the wire. The values never change their meaning.</summary>
public enum CodecId : byte
{
    /// <summary>The rows as they are.</summary>
    Raw = 0,

    /// <summary>FP8 E4M3 codes and one fp32 scale per token.</summary>
    Fp8E4M3 = 1,
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
public readonly record struct SegmentShape(int Tokens, int HeadDim, ElementType ElementType)
{
    /// <summary>Elements of the segment.</summary>
    public int Elements => Tokens * HeadDim;

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

    /// <summary>Encodes the rows of one segment.</summary>
    /// <param name="shape">Shape of the rows.</param>
    /// <param name="rows">Exactly <see cref="SegmentShape.RowsBytes"/> bytes; must not overlap <paramref name="encoded"/>.</param>
    /// <param name="encoded">At least <see cref="MaxEncodedBytes"/> bytes.</param>
    /// <param name="flags">What was met besides finite numbers.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The shape is out of range or not supported, or a span has the wrong length.</exception>
    int Encode(in SegmentShape shape, ReadOnlySpan<byte> rows, Span<byte> encoded, out CodecFlags flags);

    /// <summary>Decodes one segment from bytes that a peer sent: never throws and never writes outside <paramref name="rows"/>.</summary>
    /// <param name="shape">Shape of the rows.</param>
    /// <param name="encoded">What came; its length is not trusted.</param>
    /// <param name="rows">Exactly <see cref="SegmentShape.RowsBytes"/> bytes; contents are undefined after a failure.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, Span<byte> rows, out string? error);
}
