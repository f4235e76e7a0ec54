using System.Text;

namespace KvHandoff.Gateway.Chat;

/// <summary>
/// Turns the tokens of one answer, which are bytes, into text piece by piece. A character that is cut by the end of a piece is held back
/// until it is whole; what can be no UTF-8 becomes U+FFFD. The pieces joined equal the text of all tokens at once.
/// </summary>
/// <remarks>One answer, one thread at a time.</remarks>
internal sealed class TokenText
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    /// <summary>The text that these tokens complete; may be empty.</summary>
    internal string Append(ReadOnlySpan<int> tokens) => Decode(tokens, flush: false);

    /// <summary>What is left at the end: U+FFFD for a character that was never completed, else nothing.</summary>
    internal string Finish() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<int> tokens, bool flush)
    {
        Span<byte> bytes = tokens.Length <= 256 ? stackalloc byte[tokens.Length] : new byte[tokens.Length];
        for (int i = 0; i < tokens.Length; i++) bytes[i] = checked((byte)tokens[i]);
        int count = _decoder.GetCharCount(bytes, flush);
        if (count == 0)
        {
            // A held-back sequence still has to be taken in.
            Span<char> none = stackalloc char[4];
            _decoder.GetChars(bytes, none, flush);
            return "";
        }

        return string.Create(count, new Piece(_decoder, bytes, flush), static (characters, piece) => piece.Decoder.GetChars(piece.Bytes, characters, piece.Flush));
    }

    private readonly ref struct Piece(Decoder decoder, ReadOnlySpan<byte> bytes, bool flush)
    {
        internal Decoder Decoder { get; } = decoder;

        internal ReadOnlySpan<byte> Bytes { get; } = bytes;

        internal bool Flush { get; } = flush;
    }
}
