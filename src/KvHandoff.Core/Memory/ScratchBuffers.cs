using System.Numerics;

namespace KvHandoff.Memory;

/// <summary>
/// Scratch of one thread, for segments on their way through a conversion. Unlike the shared array pool it is not trimmed when the
/// collector runs, so that a thread that has seen its largest segment allocates no more; a thread keeps at most four buffers.
/// </summary>
internal static class ScratchBuffers
{
    private const int Kept = 4, LeastBytes = 4096;

    [ThreadStatic]
    private static byte[]?[]? t_buffers;

    /// <summary>A buffer of at least so many bytes with any content. One that is not given back is collected like any array.</summary>
    internal static byte[] Rent(int bytes)
    {
        byte[]?[] buffers = t_buffers ??= new byte[]?[Kept];
        int best = -1;
        for (int i = 0; i < Kept; i++)
        {
            if (buffers[i] is { } buffer && buffer.Length >= bytes && (best < 0 || buffer.Length < buffers[best]!.Length)) best = i;
        }

        if (best < 0) return GC.AllocateUninitializedArray<byte>((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(bytes, LeastBytes)));
        byte[] found = buffers[best]!;
        buffers[best] = null;
        return found;
    }

    /// <summary>Gives a buffer back to the thread: in a free place, or in that of a smaller one.</summary>
    internal static void Return(byte[] buffer)
    {
        byte[]?[] buffers = t_buffers ??= new byte[]?[Kept];
        int smallest = 0;
        for (int i = 0; i < Kept; i++)
        {
            if ((buffers[i]?.Length ?? 0) < (buffers[smallest]?.Length ?? 0)) smallest = i;
        }

        if ((buffers[smallest]?.Length ?? 0) < buffer.Length) buffers[smallest] = buffer;
    }
}
