using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

/// <summary>Fetches the rows of the next step, spread over the loops of this one.</summary>
static unsafe class TilePrefetch
{
    const int LineBytes = 64;

    /// <summary>Fetches the rows from <paramref name="first"/> up to, but not including, <paramref name="end"/>; none where there is no next step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Rows(byte* rows, long strideBytes, int rowBytes, int first, int end)
    {
        if (!Sse.IsSupported || rows == null) return;
        for (int t = first; t < end; t++)
        {
            byte* row = rows + t * strideBytes;
            for (int line = 0; line < rowBytes; line += LineBytes) Sse.Prefetch0(row + line);
        }
    }
}
