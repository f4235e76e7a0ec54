using System.Runtime.CompilerServices;

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
    internal void Prefetch(int part, int parts) =>
        TilePrefetch.Rows(First, StrideBytes, RowBytes, Tokens * part / parts, Tokens * (part + 1) / parts);
}
