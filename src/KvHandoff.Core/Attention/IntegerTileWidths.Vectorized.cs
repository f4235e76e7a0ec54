using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

/// <summary>The integer arithmetic of <see cref="IntegerTile"/>, on raw bits as in <see cref="Numerics.ISimdWidth{TVector}"/>.</summary>
/// <typeparam name="TVector"><c>Vector128</c>, <c>Vector256</c> or <c>Vector512</c> of <see cref="uint"/>.</typeparam>
interface IIntegerTileWidth<TVector>
    where TVector : struct
{
    /// <summary>Whether this processor has the instructions.</summary>
    static abstract bool IsSupported { get; }

    /// <summary>Adds to each 32-bit lane the two products of the signed 16-bit lanes that lie in it.</summary>
    static abstract TVector MultiplyAddPairs(TVector left, TVector right, TVector sum);

    /// <summary>
    /// Puts the signed 16-bit lanes of two vectors side by side, the first's in the lower half of each 32-bit lane and the second's
    /// in the upper. The pairs come out in an order of their own, which <see cref="SortPairs"/> undoes.
    /// </summary>
    static abstract void Pair(TVector first, TVector second, out TVector low, out TVector high);

    /// <summary>Puts the 32-bit lanes of what <see cref="Pair"/> gave in the order of the 16-bit lanes that it took.</summary>
    static abstract void SortPairs(ref TVector low, ref TVector high);

    /// <summary>Rounds binary32 lanes to the nearest integers, ties to even, and stores them as signed 16-bit numbers.</summary>
    static abstract void StoreRounded(TVector first, TVector second, ref byte destination, nuint offsetBytes);

    /// <summary>The sums of the 32-bit lanes of four vectors, in order.</summary>
    static abstract Vector128<int> Sum4(TVector a, TVector b, TVector c, TVector d);
}

/// <summary>128-bit vectors: SSE4.1.</summary>
readonly struct IntegerTileWidth128 : IIntegerTileWidth<Vector128<uint>>
{
    public static bool IsSupported => Sse41.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> MultiplyAddPairs(Vector128<uint> left, Vector128<uint> right, Vector128<uint> sum) =>
        sum + Sse2.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair(Vector128<uint> first, Vector128<uint> second, out Vector128<uint> low, out Vector128<uint> high)
    {
        low = Sse2.UnpackLow(first.AsInt16(), second.AsInt16()).AsUInt32();
        high = Sse2.UnpackHigh(first.AsInt16(), second.AsInt16()).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SortPairs(ref Vector128<uint> low, ref Vector128<uint> high)
    {
        // In 128 bits they are in order.
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreRounded(Vector128<uint> first, Vector128<uint> second, ref byte destination, nuint offsetBytes) =>
        Sse2.PackSignedSaturate(Sse2.ConvertToVector128Int32(first.AsSingle()), Sse2.ConvertToVector128Int32(second.AsSingle()))
            .AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum4(Vector128<uint> a, Vector128<uint> b, Vector128<uint> c, Vector128<uint> d)
    {
        Vector128<ulong> ab = (Sse2.UnpackLow(a, b) + Sse2.UnpackHigh(a, b)).AsUInt64(), cd = (Sse2.UnpackLow(c, d) + Sse2.UnpackHigh(c, d)).AsUInt64();
        return Sse2.UnpackLow(ab, cd).AsInt32() + Sse2.UnpackHigh(ab, cd).AsInt32();
    }
}

/// <summary>256-bit vectors: AVX2.</summary>
readonly struct IntegerTileWidth256 : IIntegerTileWidth<Vector256<uint>>
{
    public static bool IsSupported => Avx2.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> MultiplyAddPairs(Vector256<uint> left, Vector256<uint> right, Vector256<uint> sum) =>
        sum + Avx2.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair(Vector256<uint> first, Vector256<uint> second, out Vector256<uint> low, out Vector256<uint> high)
    {
        low = Avx2.UnpackLow(first.AsInt16(), second.AsInt16()).AsUInt32();
        high = Avx2.UnpackHigh(first.AsInt16(), second.AsInt16()).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SortPairs(ref Vector256<uint> low, ref Vector256<uint> high)
    {
        Vector256<uint> unsorted = low;
        low = Avx2.Permute2x128(unsorted, high, 0x20);
        high = Avx2.Permute2x128(unsorted, high, 0x31);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreRounded(Vector256<uint> first, Vector256<uint> second, ref byte destination, nuint offsetBytes)
    {
        Vector256<short> packed = Avx2.PackSignedSaturate(Avx.ConvertToVector256Int32(first.AsSingle()), Avx.ConvertToVector256Int32(second.AsSingle()));
        // The pack works inside 128-bit halves; the permutation puts the quarters back in order.
        Avx2.Permute4x64(packed.AsUInt64(), 0b11_01_10_00).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum4(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d)
    {
        Vector256<ulong> ab = (Avx2.UnpackLow(a, b) + Avx2.UnpackHigh(a, b)).AsUInt64(), cd = (Avx2.UnpackLow(c, d) + Avx2.UnpackHigh(c, d)).AsUInt64();
        Vector256<int> halves = Avx2.UnpackLow(ab, cd).AsInt32() + Avx2.UnpackHigh(ab, cd).AsInt32();
        return halves.GetLower() + halves.GetUpper();
    }
}

/// <summary>512-bit vectors: AVX-512 BW.</summary>
readonly struct IntegerTileWidth512 : IIntegerTileWidth<Vector512<uint>>
{
    public static bool IsSupported => Avx512BW.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> MultiplyAddPairs(Vector512<uint> left, Vector512<uint> right, Vector512<uint> sum) =>
        sum + Avx512BW.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair(Vector512<uint> first, Vector512<uint> second, out Vector512<uint> low, out Vector512<uint> high)
    {
        low = Avx512BW.UnpackLow(first.AsInt16(), second.AsInt16()).AsUInt32();
        high = Avx512BW.UnpackHigh(first.AsInt16(), second.AsInt16()).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SortPairs(ref Vector512<uint> low, ref Vector512<uint> high)
    {
        Vector512<ulong> unsorted = low.AsUInt64(), other = high.AsUInt64();
        low = Avx512F.PermuteVar8x64x2(unsorted, Vector512.Create(0ul, 1, 8, 9, 2, 3, 10, 11), other).AsUInt32();
        high = Avx512F.PermuteVar8x64x2(unsorted, Vector512.Create(4ul, 5, 12, 13, 6, 7, 14, 15), other).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreRounded(Vector512<uint> first, Vector512<uint> second, ref byte destination, nuint offsetBytes)
    {
        Vector512<short> packed = Avx512BW.PackSignedSaturate(Avx512F.ConvertToVector512Int32(first.AsSingle()), Avx512F.ConvertToVector512Int32(second.AsSingle()));
        Avx512F.PermuteVar8x64(packed.AsUInt64(), Vector512.Create(0ul, 2, 4, 6, 1, 3, 5, 7)).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum4(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d) =>
        IntegerTileWidth256.Sum4(a.GetLower() + a.GetUpper(), b.GetLower() + b.GetUpper(), c.GetLower() + c.GetUpper(), d.GetLower() + d.GetUpper());
}
