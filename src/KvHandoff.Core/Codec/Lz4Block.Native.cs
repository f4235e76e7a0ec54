using System.Runtime.InteropServices;

namespace KvHandoff.Codec;

public static partial class Lz4Block
{
    private const string LibraryName = "liblz4.so.1";

    /// <summary>Null when <paramref name="library"/> can be loaded and has what is called here, else why not.</summary>
    internal static string? ReasonNotUsable(string library)
    {
        if (!NativeLibrary.TryLoad(library, out nint handle))
            return $"LZ4 needs {library}, which was not found; on Debian and Ubuntu it is in the package liblz4-1.";
        string[] functions = ["LZ4_compress_default", "LZ4_decompress_safe", "LZ4_versionString"];
        string? missing = Array.Find(functions, f => !NativeLibrary.TryGetExport(handle, f, out _));
        return missing is null ? null : $"{library} has no {missing}; LZ4 needs 1.7.5 or later, on Debian and Ubuntu in the package liblz4-1.";
    }

#if !USE_K4OS
    /// <summary>The reference library. Its functions are bound at their first call, so that a machine without it still loads this assembly.</summary>
    private static unsafe partial class Provider
    {
        public static string? ReasonUnavailable { get; } = ReasonNotUsable(LibraryName);

        public static string Name { get; } = ReasonUnavailable is null ? $"liblz4 {Marshal.PtrToStringUTF8(VersionString())}" : "none";

        public static int Compress(ReadOnlySpan<byte> raw, Span<byte> compressed)
        {
            // The library reads nothing of an empty block, but it takes no null.
            byte none = 0;
            fixed (byte* source = raw, destination = compressed)
                return CompressDefault(source is null ? &none : source, destination, raw.Length, compressed.Length);
        }

        public static int Decompress(ReadOnlySpan<byte> compressed, Span<byte> raw)
        {
            byte none = 0;
            fixed (byte* source = compressed, destination = raw)
                return DecompressSafe(source is null ? &none : source, destination is null ? &none : destination, compressed.Length, raw.Length);
        }

        [LibraryImport(LibraryName, EntryPoint = "LZ4_compress_default")]
        private static partial int CompressDefault(byte* source, byte* destination, int sourceBytes, int destinationBytes);

        [LibraryImport(LibraryName, EntryPoint = "LZ4_decompress_safe")]
        private static partial int DecompressSafe(byte* source, byte* destination, int sourceBytes, int destinationBytes);

        [LibraryImport(LibraryName, EntryPoint = "LZ4_versionString")]
        private static partial nint VersionString();
    }
#endif
}
