using System.Runtime.InteropServices;

namespace KvHandoff.Attention;

/// <summary>
/// Scratch of the decode kernels: one buffer per thread, which grows and is then kept, so that a step allocates nothing.
/// It starts on a cache line, and the collector never moves it.
/// </summary>
static class DecodeWorkspace
{
    const int LineBytes = 64;

    [ThreadStatic]
    static float[]? t_buffer;

    [ThreadStatic]
    static int t_firstElement;

    /// <summary>The calling thread's scratch, <paramref name="elements"/> long, contents arbitrary. Every call hands out the same memory.</summary>
    internal static Span<float> Rent(int elements)
    {
        if (t_buffer is null || t_buffer.Length - t_firstElement < elements)
        {
            float[] buffer = GC.AllocateUninitializedArray<float>(checked(elements + LineBytes / sizeof(float)), pinned: true);
            nint address = Marshal.UnsafeAddrOfPinnedArrayElement(buffer, 0);
            t_firstElement = (int)(-address & (LineBytes - 1)) / sizeof(float);
            t_buffer = buffer;
        }

        return t_buffer.AsSpan(t_firstElement, elements);
    }
}
