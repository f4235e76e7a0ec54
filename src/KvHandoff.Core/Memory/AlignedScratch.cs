using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// Memory of one owner that grows and is then kept, so that repeated work allocates nothing. It starts on a cache line, and the
/// collector never moves it. Not thread-safe.
/// </summary>
internal sealed class AlignedScratch
{
    private const int LineBytes = 64;

    private byte[] _buffer = [];
    private int _start;

    /// <summary>The first <paramref name="bytes"/> of the memory, with any content; what was handed out before is no longer valid.</summary>
    internal unsafe byte* Take(long bytes)
    {
        if (_buffer.Length - _start < bytes)
        {
            byte[] buffer = GC.AllocateUninitializedArray<byte>(checked((int)(bytes + LineBytes)), pinned: true);
            _start = (int)(-Marshal.UnsafeAddrOfPinnedArrayElement(buffer, 0) & (LineBytes - 1));
            _buffer = buffer;
        }

        return (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_buffer, _start);
    }

    /// <summary><paramref name="bytes"/> rounded up to whole cache lines.</summary>
    internal static long Lines(long bytes) => (bytes + LineBytes - 1) & ~(LineBytes - 1L);
}
