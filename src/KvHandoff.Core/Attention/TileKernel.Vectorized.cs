using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>A kernel for one form of stored rows: managed or native, with what it makes of the query beforehand.</summary>
readonly unsafe struct TileKernel
{
    readonly delegate*<AttendTile*, void> _managed;
    readonly delegate* unmanaged<AttendTile*, void> _native;
    readonly delegate*<float*, int, int, byte*, void> _prepare;
    readonly delegate* unmanaged<NativeAttentionShape*, float*, byte*, void> _nativePrepare;
    readonly NativeAttentionShape _shape;
    readonly string _name;
    readonly byte* _nativeName;

    internal TileKernel(string name, delegate*<AttendTile*, void> attend)
    {
        _name = name;
        _managed = attend;
    }

    internal TileKernel(string name, delegate*<AttendTile*, void> attend, long preparedBytes, delegate*<float*, int, int, byte*, void> prepare)
    {
        (_name, PreparedBytes) = (name, preparedBytes);
        _managed = attend;
        _prepare = prepare;
    }

    internal TileKernel(in NativeAttentionShape shape, in NativeAttentionKernel native)
    {
        (_name, PreparedBytes, _shape) = ("native", native.PreparedBytes, shape);
        _nativeName = native.Name;
        _native = native.Attend;
        _nativePrepare = native.Prepare;
    }

    /// <summary>What runs, such as <c>"managed rows 256"</c> or <c>"native avx2 bf16 rows"</c>.</summary>
    internal string Name => _nativeName is null ? _name : $"{_name} {Marshal.PtrToStringUTF8((nint)_nativeName)}";

    /// <summary>Bytes that the prepared query rows of one kv head take; 0 where nothing is prepared.</summary>
    internal long PreparedBytes { get; }

    internal void Prepare(float* query, int rows, int keyDim, byte* prepared)
    {
        if (_nativePrepare is not null)
        {
            NativeAttentionShape shape = _shape;
            _nativePrepare(&shape, query, prepared);
        }
        else
        {
            _prepare(query, rows, keyDim, prepared);
        }
    }

    internal void Attend(AttendTile* tile)
    {
        if (_native is not null) _native(tile);
        else _managed(tile);
    }
}

/// <summary>What a kernel has to read.</summary>
/// <param name="Element">Type of the stored elements.</param>
/// <param name="Weights">Precision of the softmax weights.</param>
/// <param name="Rows">Query rows that share a kv head.</param>
/// <param name="KeyDim">Elements of a key.</param>
/// <param name="ValueDim">Elements of a value.</param>
/// <param name="ManyRows">Whether rows have to be treated as many, so that a result does not depend on how many there are.</param>
readonly record struct TileShape(ElementType Element, SoftmaxWeights Weights, int Rows, int KeyDim, int ValueDim, bool ManyRows);
