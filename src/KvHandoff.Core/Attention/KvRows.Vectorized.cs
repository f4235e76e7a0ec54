using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

/// <summary>Rows of one plane of one kv head, tokens in order. A cache's blocks are native memory, so the address stays.</summary>
readonly unsafe struct KvRows(byte* first, long strideBytes, int rowBytes, int tokens)
{
    internal readonly byte* First = first;
    internal readonly nint StrideBytes = (nint)strideBytes;
    internal readonly int RowBytes = rowBytes;
    internal readonly int Tokens = tokens;

    internal KvRows Part(int from, int tokens) => new(First + from * StrideBytes, StrideBytes, RowBytes, tokens);

    /// <summary>Fetches the rows' part number <paramref name="part"/> of <paramref name="parts"/> equal ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Prefetch(int part, int parts)
    {
        if (!Sse.IsSupported || First is null) return;
        int end = Tokens * (part + 1) / parts;
        for (int t = Tokens * part / parts; t < end; t++)
        {
            byte* row = First + t * StrideBytes;
            for (int line = 0; line < RowBytes; line += 64) Sse.Prefetch0(row + line);
        }
    }
}
