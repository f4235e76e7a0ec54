using System.Buffers.Binary;

namespace KvHandoff.Codec;

/// <summary>
/// Lossless coding of BF16 rows by a window of exponents: every channel keeps a base exponent, every value tells in three bits how
/// far below it its own exponent lies, and the few that lie elsewhere give it whole. Sign and mantissa travel as they are: they do
/// not compress. About 11.3 bits a value on the keys and values of a trained model.
/// </summary>
/// <remarks>
/// <para>One tile holds <c>[tokens][dim]</c> values of 16 bits, 1 to 64 tokens of 1 to 4096 channels. Its first byte is its kind; all
/// numbers are little-endian.</para>
/// <para><c>0 raw</c>: the rows follow, <c>2 * tokens * dim</c> bytes. Written when a window would not be smaller.</para>
/// <para><c>1 constant</c>: 2 bytes follow, the 16 bits that every value of the tile has.</para>
/// <para><c>2 window</c>: <c>u8[3] zero | u32 escapes | u8 base[dim] | row[tokens] | u8 escape[escapes]</c>, where a row is
/// <c>u8 codes[3 * ceil(dim / 8)] | u8 signMantissa[dim]</c>. For a value with exponent field E in channel c, signMantissa is
/// <c>mantissa &lt;&lt; 1 | sign</c> and its code is <c>min((base[c] - E) mod 256, 7)</c>. Eight codes make 24 bits, the first in the lowest
/// three; the codes of channels beyond dim are 0. Code 7 is an escape: E is the next byte of <c>escape</c>, in the order of the values.</para>
/// <para>Any base gives back the same values. The encoder takes the largest exponent that the channel had in the tile before, as the
/// caller's history remembers it, and without one the largest in a sample of the rows. Only a window tile leaves a history.</para>
/// <para>Every instruction set writes the same bytes from the same rows and history. Thread-safe; nothing is allocated but the text of
/// an error. Source, history, encoded bytes and destination must not overlap.</para>
/// </remarks>
public static partial class ExponentWindow
{
    /// <summary>Most tokens of one tile.</summary>
    public const int MaxTokens = 64;

    /// <summary>Most channels of one tile.</summary>
    public const int MaxDim = 4096;

    internal const byte RawKind = 0;
    internal const byte ConstantKind = 1;
    internal const byte WindowKind = 2;

    internal const int ConstantBytes = 3;
    internal const int WindowHeaderBytes = 8;

    /// <summary>The code that says that the exponent is among the escapes.</summary>
    internal const int EscapeCode = 7;

    const int EscapeCountOffset = 4;

    // A sample of one row in four costs 0.5 % of the ratio against looking at all of them.
    const int SampleStep = 4;

    /// <summary>Most bytes that <see cref="Encode"/> writes: the rows and one byte.</summary>
    /// <param name="tokens">Rows of the tile, 1 to 64.</param>
    /// <param name="dim">Values of a row, 1 to 4096.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tokens or the channels are out of range.</exception>
    public static int MaxEncodedBytes(int tokens, int dim)
    {
        CheckShape(tokens, dim);
        return 1 + RawBytes(tokens, dim);
    }

    /// <summary>Bytes of a history: what the encoder remembers of the last tile of a head and plane. All zero means none yet.</summary>
    /// <param name="dim">Values of a row, 1 to 4096.</param>
    /// <exception cref="ArgumentOutOfRangeException">The channels are out of range.</exception>
    public static int HistoryBytes(int dim)
    {
        CheckShape(1, dim);
        return 1 + dim;
    }

    /// <summary>Encodes one tile. The rows are read once, but for a sample of them where there is no history.</summary>
    /// <param name="source">Rows of <paramref name="dim"/> BF16 values, each at a multiple of <paramref name="strideBytes"/>, at any alignment.</param>
    /// <param name="strideBytes">Bytes from one row to the next, at least 2 * dim; ignored for a single row.</param>
    /// <param name="tokens">Rows, 1 to 64.</param>
    /// <param name="dim">Values of a row, 1 to 4096.</param>
    /// <param name="history">Empty, or <see cref="HistoryBytes"/> bytes that belong to this head and plane; updated.</param>
    /// <param name="encoded">At least <see cref="MaxEncodedBytes"/> bytes; those behind the result may be overwritten up to that length.</param>
    /// <returns>Bytes of the tile, at most <see cref="MaxEncodedBytes"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The tokens, the channels or the stride are out of range.</exception>
    /// <exception cref="ArgumentException">A span is too short, or the history is neither empty nor of its length.</exception>
    public static int Encode(ReadOnlySpan<byte> source, int strideBytes, int tokens, int dim, Span<byte> history, Span<byte> encoded)
    {
        CheckRows(source.Length, strideBytes, tokens, dim, nameof(source));
        int most = MaxEncodedBytes(tokens, dim);
        if (encoded.Length < most)
            throw new ArgumentException($"There is room for {encoded.Length} encoded bytes; needed: {most}.", nameof(encoded));
        if (!history.IsEmpty && history.Length != HistoryBytes(dim))
            throw new ArgumentException($"The history has {history.Length} bytes; expected none or {HistoryBytes(dim)}.", nameof(history));

        var rows = new TileRows(strideBytes, tokens, dim);
        return EncodeTile(source, rows, history, encoded[..most]);
    }

    /// <summary>Decodes one tile from bytes that a peer sent: never throws for them and never writes outside the rows.</summary>
    /// <param name="encoded">What came, exactly one tile; no length in it is trusted.</param>
    /// <param name="tokens">Rows, 1 to 64.</param>
    /// <param name="dim">Values of a row, 1 to 4096.</param>
    /// <param name="destination">Receives the rows, each at a multiple of <paramref name="strideBytes"/>; undefined after a failure. Bytes between rows are kept.</param>
    /// <param name="strideBytes">Bytes from one row to the next, at least 2 * dim; ignored for a single row.</param>
    /// <param name="error">What is wrong, with the value found and the value allowed; null on success.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tokens, the channels or the stride are out of range.</exception>
    /// <exception cref="ArgumentException">The destination is too short.</exception>
    public static bool TryDecode(
        ReadOnlySpan<byte> encoded, int tokens, int dim, Span<byte> destination, int strideBytes, out string? error)
    {
        CheckRows(destination.Length, strideBytes, tokens, dim, nameof(destination));
        var rows = new TileRows(strideBytes, tokens, dim);
        if (encoded.IsEmpty)
        {
            error = "An exponent-window tile has 0 bytes; expected at least 1.";
            return false;
        }

        switch (encoded[0])
        {
            case RawKind:
                error = encoded.Length == 1 + rows.RawBytes ? null
                    : $"A raw tile of {tokens} x {dim} has {encoded.Length} bytes; expected {1 + rows.RawBytes}.";
                if (error is null) CopyToRows(encoded[1..], rows, destination);
                return error is null;
            case ConstantKind:
                error = encoded.Length == ConstantBytes ? null
                    : $"A constant tile has {encoded.Length} bytes; expected {ConstantBytes}.";
                if (error is null) FillRows(BinaryPrimitives.ReadUInt16LittleEndian(encoded[1..]), rows, destination);
                return error is null;
            case WindowKind:
                return TryDecodeWindow(encoded, rows, destination, out error);
            default:
                error = $"An exponent-window tile is of kind {encoded[0]}; allowed: {RawKind} to {WindowKind}.";
                return false;
        }
    }

    static bool TryDecodeWindow(ReadOnlySpan<byte> encoded, in TileRows rows, Span<byte> destination, out string? error)
    {
        error = ReasonNotWindow(encoded, rows);
        if (error is not null) return false;
        int escapes = encoded.Length - rows.EscapeOffset;
        int marked = DecodeWindow(encoded, rows, destination, escapes);
        if (marked != escapes)
            error = $"The codes of a window tile mark {(marked > escapes ? $"{marked} or more" : marked)} escapes; it has {escapes}.";
        return error is null;
    }

    static string? ReasonNotWindow(ReadOnlySpan<byte> encoded, in TileRows rows)
    {
        if (encoded.Length < rows.EscapeOffset)
            return $"A window tile of {rows.Tokens} x {rows.Dim} has {encoded.Length} bytes; expected at least {rows.EscapeOffset}.";
        if ((encoded[1] | encoded[2] | encoded[3]) != 0)
            return $"Bytes 1 to 3 of a window tile are {encoded[1]}, {encoded[2]} and {encoded[3]}; expected 0.";
        uint escapes = BinaryPrimitives.ReadUInt32LittleEndian(encoded[EscapeCountOffset..]);
        if (escapes != (uint)(encoded.Length - rows.EscapeOffset))
            return $"A window tile announces {escapes} escapes; its {encoded.Length} bytes hold {encoded.Length - rows.EscapeOffset}.";
        return escapes <= (uint)rows.Values ? null : $"A window tile has {escapes} escapes for {rows.Values} values.";
    }

    static void CheckShape(int tokens, int dim)
    {
        if (tokens is < 1 or > MaxTokens)
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"A tile has {tokens} tokens; allowed: 1 to {MaxTokens}.");
        if (dim is < 1 or > MaxDim)
            throw new ArgumentOutOfRangeException(nameof(dim), dim, $"A tile has rows of {dim} values; allowed: 1 to {MaxDim}.");
    }

    static void CheckRows(int length, int strideBytes, int tokens, int dim, string parameter)
    {
        CheckShape(tokens, dim);
        if (tokens > 1 && strideBytes < sizeof(ushort) * dim)
            throw new ArgumentOutOfRangeException(nameof(strideBytes), strideBytes, $"The stride is {strideBytes} bytes; needed: {sizeof(ushort) * dim}.");
        long needed = (tokens - 1) * (long)strideBytes + sizeof(ushort) * dim;
        if (length < needed) throw new ArgumentException($"The rows have {length} bytes; needed: {needed}.", parameter);
    }

    static int RawBytes(int tokens, int dim) => sizeof(ushort) * tokens * dim;
}
