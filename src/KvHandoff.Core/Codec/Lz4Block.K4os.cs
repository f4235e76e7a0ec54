#if USE_K4OS
using K4os.Compression.LZ4;

namespace KvHandoff.Codec;

public static partial class Lz4Block
{
    /// <summary>The managed implementation; always available where the project was built with it.</summary>
    private static class Provider
    {
        public static string? ReasonUnavailable => null;

        public static string Name { get; } = $"K4os.Compression.LZ4 {typeof(LZ4Codec).Assembly.GetName().Version}";

        public static int Compress(ReadOnlySpan<byte> raw, Span<byte> compressed)
        {
            // K4os takes no empty block, which the format writes as one zero token.
            if (!raw.IsEmpty) return LZ4Codec.Encode(raw, compressed, LZ4Level.L00_FAST);
            compressed[0] = 0;
            return 1;
        }

        public static int Decompress(ReadOnlySpan<byte> compressed, Span<byte> raw)
        {
            if (raw.IsEmpty) return compressed.Length == 1 && compressed[0] == 0 ? 0 : -1;
            return LZ4Codec.Decode(compressed, raw);
        }
    }
}
#endif
