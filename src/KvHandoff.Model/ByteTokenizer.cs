using System.Text;

namespace KvHandoff.Model;

/// <summary>Tokens are the bytes of UTF-8 text: token id = byte. Thread-safe.</summary>
public static class ByteTokenizer
{
    /// <summary>Tokens in the vocabulary.</summary>
    public const int VocabularySize = 256;

    /// <summary>The tokens of a text.</summary>
    public static int[] Encode(string text) => Encode(Encoding.UTF8.GetBytes(text));

    /// <summary>The tokens of raw bytes.</summary>
    public static int[] Encode(ReadOnlySpan<byte> bytes)
    {
        var tokens = new int[bytes.Length];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = bytes[i];
        return tokens;
    }

    /// <summary>The text of tokens; byte sequences that are no UTF-8 become U+FFFD.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A token is not 0 to 255.</exception>
    public static string Decode(ReadOnlySpan<int> tokens) => Encoding.UTF8.GetString(DecodeBytes(tokens));

    /// <summary>The bytes of tokens.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A token is not 0 to 255.</exception>
    public static byte[] DecodeBytes(ReadOnlySpan<int> tokens)
    {
        var bytes = new byte[tokens.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if ((uint)tokens[i] >= VocabularySize) throw new ArgumentOutOfRangeException(nameof(tokens), tokens[i], $"Token {i} is {tokens[i]}; allowed: 0 to 255.");
            bytes[i] = (byte)tokens[i];
        }

        return bytes;
    }
}
