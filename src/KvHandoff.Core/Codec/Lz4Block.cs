namespace KvHandoff.Codec;

/// <summary>
/// LZ4 block format through a library that is found at run time: the system's <c>liblz4.so.1</c>, or K4os.Compression.LZ4 where the
/// project is built with <c>-p:UseK4os=true</c>. Both write the same format. On BF16 keys and values it gains nothing.
/// </summary>
/// <remarks>Thread-safe; nothing is allocated but the text of an error.</remarks>
public static partial class Lz4Block
{
    /// <summary>Most bytes of one block's raw data that the format's bound is defined for.</summary>
    public const int MaxRawBytes = 0x7E00_0000;

    /// <summary>Whether blocks can be compressed and decompressed here.</summary>
    public static bool IsAvailable => ReasonUnavailable is null;

    /// <summary>Null when available, else why not and what to install.</summary>
    public static string? ReasonUnavailable => Provider.ReasonUnavailable;

    /// <summary>Name and version of the library, such as "liblz4 1.9.4"; "none" where there is none.</summary>
    public static string ProviderName => Provider.Name;

    /// <summary>Most bytes that <see cref="Compress"/> writes: the raw bytes, one for every 255 of them, and 16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The size is negative or above <see cref="MaxRawBytes"/>.</exception>
    public static int MaxCompressedBytes(int rawBytes)
    {
        if (rawBytes is < 0 or > MaxRawBytes)
            throw new ArgumentOutOfRangeException(nameof(rawBytes), rawBytes, $"A block has {rawBytes} raw bytes; allowed: 0 to {MaxRawBytes}.");
        return rawBytes + rawBytes / 255 + 16;
    }

    /// <summary>Compresses one block.</summary>
    /// <param name="raw">Up to <see cref="MaxRawBytes"/> bytes; must not overlap <paramref name="compressed"/>.</param>
    /// <param name="compressed">At least <see cref="MaxCompressedBytes"/> bytes.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The destination is too short.</exception>
    /// <exception cref="NotSupportedException">No library is available.</exception>
    public static int Compress(ReadOnlySpan<byte> raw, Span<byte> compressed)
    {
        int most = MaxCompressedBytes(raw.Length);
        if (compressed.Length < most)
            throw new ArgumentException($"There is room for {compressed.Length} compressed bytes; needed: {most}.", nameof(compressed));
        if (ReasonUnavailable is { } reason) throw new NotSupportedException(reason);
        int bytes = Provider.Compress(raw, compressed);
        return bytes > 0 ? bytes : throw new InvalidOperationException($"{ProviderName} returned {bytes} for {raw.Length} raw bytes; expected 1 to {most}.");
    }

    /// <summary>Decompresses one block from bytes that a peer sent: never throws and never writes outside <paramref name="raw"/>.</summary>
    /// <param name="compressed">What came; not trusted.</param>
    /// <param name="raw">Exactly the block's raw bytes; undefined after a failure.</param>
    /// <param name="error">What is wrong; null on success.</param>
    public static bool TryDecompress(ReadOnlySpan<byte> compressed, Span<byte> raw, out string? error)
    {
        error = ReasonUnavailable;
        if (error is not null) return false;
        int bytes = Provider.Decompress(compressed, raw);
        if (bytes != raw.Length)
        {
            error = bytes < 0
                ? $"An LZ4 block of {compressed.Length} bytes is malformed or holds more than {raw.Length} raw bytes."
                : $"An LZ4 block of {compressed.Length} bytes holds {bytes} raw bytes; expected {raw.Length}.";
        }

        return error is null;
    }
}
