using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// Memory of one owner that grows and is then kept, so that repeated work allocates nothing. It starts on a cache line. Not thread-safe.
/// </summary>
internal sealed unsafe class AlignedScratch
{
    private const int LineBytes = 64;

    private byte* _memory;
    private long _bytes;

    ~AlignedScratch() => NativeMemory.AlignedFree(_memory);

    /// <summary>The first <paramref name="bytes"/> of the memory, with any content; what was handed out before is no longer valid.</summary>
    /// <remarks>The owner stays reachable while the memory is in use.</remarks>
    internal byte* Take(long bytes)
    {
        if (_bytes < bytes)
        {
            // Freed first: the old content is not wanted, and the two need not fit side by side.
            NativeMemory.AlignedFree(_memory);
            _memory = null;
            _bytes = 0;
            _memory = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, LineBytes);
            _bytes = bytes;
        }

        return _memory;
    }

    /// <summary><paramref name="bytes"/> rounded up to whole cache lines.</summary>
    internal static long Lines(long bytes) => (bytes + LineBytes - 1) & ~(LineBytes - 1L);
}
