using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Numerics;

/// <summary>512-bit vectors: AVX-512 F, BW and VL.</summary>
readonly struct Width512 : ISimdWidth<Vector512<uint>>
{
    public static int Lanes => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Create(uint value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> And(Vector512<uint> left, Vector512<uint> right) => left & right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Or(Vector512<uint> left, Vector512<uint> right) => left | right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Add(Vector512<uint> left, Vector512<uint> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Subtract(Vector512<uint> left, Vector512<uint> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Min(Vector512<uint> left, Vector512<uint> right) => Vector512.Min(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Max(Vector512<uint> left, Vector512<uint> right) => Vector512.Max(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> MaxUInt16(Vector512<uint> left, Vector512<uint> right) =>
        Vector512.Max(left.AsUInt16(), right.AsUInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ShiftLeft(Vector512<uint> value, int count) => value << count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ShiftRight(Vector512<uint> value, int count) => value >>> count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> GreaterThan(Vector512<uint> left, Vector512<uint> right) =>
        Vector512.GreaterThan(left.AsInt32(), right.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Select(Vector512<uint> mask, Vector512<uint> whenSet, Vector512<uint> otherwise) =>
        Vector512.ConditionalSelect(mask, whenSet, otherwise);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> AddSingle(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsSingle() + right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> SubtractSingle(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsSingle() - right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> MultiplySingle(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsSingle() * right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt32(Vector512<uint> value) =>
        Width256.LargestUInt32(Width256.Max(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt16(Vector512<uint> value) =>
        Width256.LargestUInt16(Width256.MaxUInt16(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Load32(ref byte source, nuint offsetBytes) =>
        Vector512.LoadUnsafe(ref source, offsetBytes).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Load16(ref byte source, nuint offsetBytes) =>
        Avx512F.ConvertToVector512UInt32(Vector256.LoadUnsafe(ref source, offsetBytes).AsUInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Load8(ref byte source, nuint offsetBytes) =>
        Avx512F.ConvertToVector512UInt32(Vector128.LoadUnsafe(ref source, offsetBytes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store32(Vector512<uint> value, ref byte destination, nuint offsetBytes) =>
        value.AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16(Vector512<uint> first, Vector512<uint> second, ref byte destination, nuint offsetBytes)
    {
        Avx512F.ConvertToVector256UInt16(first).AsByte().StoreUnsafe(ref destination, offsetBytes);
        Avx512F.ConvertToVector256UInt16(second).AsByte().StoreUnsafe(ref destination, offsetBytes + 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store8(
        Vector512<uint> first, Vector512<uint> second, Vector512<uint> third, Vector512<uint> fourth, ref byte destination, nuint offsetBytes)
    {
        Avx512F.ConvertToVector128Byte(first).StoreUnsafe(ref destination, offsetBytes);
        Avx512F.ConvertToVector128Byte(second).StoreUnsafe(ref destination, offsetBytes + 16);
        Avx512F.ConvertToVector128Byte(third).StoreUnsafe(ref destination, offsetBytes + 32);
        Avx512F.ConvertToVector128Byte(fourth).StoreUnsafe(ref destination, offsetBytes + 48);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> JoinHalves(Vector512<uint> low, Vector512<uint> high) =>
        Vector512.ConditionalSelect(Vector512.Create(0xFFFFu), low, high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Vector512<uint> first, Vector512<uint> second, ref byte destination, nuint offsetBytes)
    {
        Avx512BW.ConvertToVector256Byte(first.AsUInt16()).StoreUnsafe(ref destination, offsetBytes);
        Avx512BW.ConvertToVector256Byte(second.AsUInt16()).StoreUnsafe(ref destination, offsetBytes + 32);
    }
}
