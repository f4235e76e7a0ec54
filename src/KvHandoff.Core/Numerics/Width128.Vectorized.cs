using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Numerics;

/// <summary>128-bit vectors: SSE4 or Arm AdvSimd.</summary>
readonly struct Width128 : ISimdWidth<Vector128<uint>>
{
    public static int Lanes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Create(uint value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> And(Vector128<uint> left, Vector128<uint> right) => left & right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Or(Vector128<uint> left, Vector128<uint> right) => left | right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Add(Vector128<uint> left, Vector128<uint> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Subtract(Vector128<uint> left, Vector128<uint> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Min(Vector128<uint> left, Vector128<uint> right) => Vector128.Min(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Max(Vector128<uint> left, Vector128<uint> right) => Vector128.Max(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> MaxUInt16(Vector128<uint> left, Vector128<uint> right) =>
        Vector128.Max(left.AsUInt16(), right.AsUInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ShiftLeft(Vector128<uint> value, int count) => value << count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ShiftRight(Vector128<uint> value, int count) => value >>> count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> GreaterThan(Vector128<uint> left, Vector128<uint> right) =>
        Vector128.GreaterThan(left.AsInt32(), right.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Select(Vector128<uint> mask, Vector128<uint> whenSet, Vector128<uint> otherwise) =>
        Vector128.ConditionalSelect(mask, whenSet, otherwise);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> AddSingle(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsSingle() + right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> SubtractSingle(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsSingle() - right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> MultiplySingle(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsSingle() * right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt32(Vector128<uint> value)
    {
        value = Vector128.Max(value, Vector128.Shuffle(value, Vector128.Create(2u, 3, 0, 1)));
        return Vector128.Max(value, Vector128.Shuffle(value, Vector128.Create(1u, 0, 3, 2))).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt16(Vector128<uint> value)
    {
        // SSE4.1 has a horizontal minimum of 16-bit lanes and no maximum.
        if (Sse41.IsSupported)
            return (ushort)~Sse41.MinHorizontal((~value).AsUInt16()).ToScalar();
        return LargestUInt32(Vector128.Max(value & Vector128.Create(0xFFFFu), value >>> 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Load32(ref byte source, nuint offsetBytes) =>
        Vector128.LoadUnsafe(ref source, offsetBytes).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Load16(ref byte source, nuint offsetBytes) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, offsetBytes))).AsUInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> Load8(ref byte source, nuint offsetBytes) =>
        Vector128.WidenLower(Vector128.WidenLower(
            Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(ref Unsafe.AddByteOffset(ref source, offsetBytes))).AsByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store32(Vector128<uint> value, ref byte destination, nuint offsetBytes) =>
        value.AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16(Vector128<uint> first, Vector128<uint> second, ref byte destination, nuint offsetBytes) =>
        Vector128.Narrow(first, second).AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store8(
        Vector128<uint> first, Vector128<uint> second, Vector128<uint> third, Vector128<uint> fourth, ref byte destination, nuint offsetBytes) =>
        Vector128.Narrow(Vector128.Narrow(first, second), Vector128.Narrow(third, fourth)).StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> JoinHalves(Vector128<uint> low, Vector128<uint> high) =>
        Sse41.IsSupported
            ? Sse41.Blend(low.AsUInt16(), high.AsUInt16(), 0b1010_1010).AsUInt32()
            : Vector128.ConditionalSelect(Vector128.Create(0xFFFFu), low, high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Vector128<uint> first, Vector128<uint> second, ref byte destination, nuint offsetBytes) =>
        Vector128.Narrow(first.AsUInt16(), second.AsUInt16()).StoreUnsafe(ref destination, offsetBytes);
}
