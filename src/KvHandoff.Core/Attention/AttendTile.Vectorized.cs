using System.Runtime.InteropServices;

namespace KvHandoff.Attention;

/// <summary>
/// One step of attention: up to <see cref="MostTokens"/> stored rows of one kv head against the query rows that share the head.
/// The native kernels read the same bytes as <c>kvhk_attend_tile</c>.
/// </summary>
/// <remarks>
/// With q a query row, k and v the stored rows and f the factors below, a step does, for every query row r and visible token t:
/// <c>s = LogitFactor * KeyScales[t] * sum_d(q[d] * k[d] * KeyChannelScales[d])</c>, in units of ln 2;
/// <c>s = Cap * tanh(s / Cap)</c> where there is a cap; then the running softmax
/// <c>m' = max(m, s)</c>, <c>sum = sum * 2^(m - m') + sum_t 2^(s - m')</c>,
/// <c>output[d] = output[d] * 2^(m - m') + sum_t 2^(s - m') * ValueScales[t] * v[d] * ValueChannelScales[d]</c>.
/// A row without a visible token keeps its state. The static scale of the values is applied at the end, outside.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
unsafe struct AttendTile
{
    /// <summary>Most tokens of one step.</summary>
    internal const int MostTokens = 64;

    /// <summary>First row of the keys and of the values, as stored; not aligned. MLA: the same row, whose head is the value.</summary>
    internal byte* Keys, Values;

    /// <summary>Distances between rows.</summary>
    internal long KeyStrideBytes, ValueStrideBytes;

    /// <summary>Rows of the next step, to be fetched meanwhile; null at the end. Same strides and row sizes.</summary>
    internal byte* NextKeys, NextValues;

    /// <summary>A factor of each row, or null for 1; not aligned.</summary>
    internal float* KeyScales, ValueScales;

    /// <summary>A factor of each channel that holds for the whole tile, or null for 1; not aligned.</summary>
    internal float* KeyChannelScales, ValueChannelScales;

    /// <summary><c>[Rows][KeyDim]</c>, unscaled; 64-byte aligned at row 0.</summary>
    internal float* Query;

    /// <summary>What the kernel's own preparation made of the query, 64-byte aligned; null where it has none.</summary>
    internal byte* Prepared;

    /// <summary><c>[Rows]</c>: token r sees of the tile from here up to, but not including, there. Both null: everything.</summary>
    internal int* VisibleFrom, VisibleTo;

    /// <summary><c>[Rows]</c> each: running maximum, minus infinity at first, and running sum, 0 at first.</summary>
    internal float* Maximum, Sum;

    /// <summary><c>[Rows][ValueDim]</c>: the weighted sum so far, 0 at first; 64-byte aligned at row 0.</summary>
    internal float* Output;

    /// <summary><see cref="ScratchBytes"/> of memory, 64-byte aligned, any content.</summary>
    internal byte* Scratch;

    internal int Rows, KeyDim, ValueDim, Tokens, NextTokens;

    /// <summary>Softmax scale, static scale of the keys and 1 / ln 2 in one.</summary>
    internal float LogitFactor;

    /// <summary>Bound of the logits in units of ln 2; 0 for none.</summary>
    internal float Cap;

    /// <summary>Bytes of scratch that every kernel has to get along with.</summary>
    internal static int ScratchBytes(int rows, int keyDim, int valueDim) =>
        checked(4096 + rows * 1024 + 4 * rows * (keyDim + valueDim) + 4 * (MostTokens + 16) * (keyDim + valueDim + 32));
}
