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
    public static Vector512<uint> ShiftRightSigned(Vector512<uint> value, int count) => (value.AsInt32() >> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> DivideSingle(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsSingle() / right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ToSingle(Vector512<uint> integers) => Vector512.ConvertToSingle(integers.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unzip(Vector512<uint> first, Vector512<uint> second, out Vector512<uint> even, out Vector512<uint> odd)
    {
        Vector512<uint> evens = Vector512.Create(0u, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        even = Avx512F.PermuteVar16x32x2(first, evens, second);
        odd = Avx512F.PermuteVar16x32x2(first, evens + Vector512.Create(1u), second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zip(Vector512<uint> even, Vector512<uint> odd, out Vector512<uint> first, out Vector512<uint> second)
    {
        Vector512<uint> lower = Vector512.Create(0u, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        first = Avx512F.PermuteVar16x32x2(even, lower, odd);
        second = Avx512F.PermuteVar16x32x2(even, lower + Vector512.Create(8u), odd);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> MaxInt16(Vector512<uint> left, Vector512<uint> right) =>
        Vector512.Max(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> AddInt16(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsInt16() + right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> SubtractInt16(Vector512<uint> left, Vector512<uint> right) =>
        (left.AsInt16() - right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> GreaterThanInt16(Vector512<uint> left, Vector512<uint> right) =>
        Vector512.GreaterThan(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ShiftLeft16(Vector512<uint> value, int count) => (value.AsUInt16() << count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> ShiftRight16(Vector512<uint> value, int count) => (value.AsUInt16() >>> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool NoCommonBits(Vector512<uint> left, Vector512<uint> right) => (left & right) == Vector512<uint>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> AddSaturateInt16(Vector512<uint> left, Vector512<uint> right) =>
        Avx512BW.AddSaturate(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> LookUpBytes(Vector512<uint> table, Vector512<uint> indices) =>
        Avx512BW.Shuffle(table.AsByte(), indices.AsByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSignedBytes(Vector512<uint> first, Vector512<uint> second, ref byte destination, nuint offsetBytes) =>
        StoreBytes(first, second, ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytesWithSigns(
        Vector512<uint> first,
        Vector512<uint> second,
        Vector512<uint> firstSigns,
        Vector512<uint> secondSigns,
        ref byte destination,
        nuint offsetBytes)
    {
        Vector512<uint> sign = Vector512.Create(0x0080_0080u);
        StoreBytes(
            Avx512F.TernaryLogic(first, firstSigns >>> 8, sign, 0xF8),
            Avx512F.TernaryLogic(second, secondSigns >>> 8, sign, 0xF8),
            ref destination,
            offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadDoubled(ref byte source, nuint offsetBytes, out Vector512<uint> first, out Vector512<uint> second)
    {
        Vector512<ulong> ordered = Avx512F.PermuteVar8x64(
            Vector512.LoadUnsafe(ref source, offsetBytes).AsUInt64(), Vector512.Create(0ul, 4, 1, 5, 2, 6, 3, 7));
        first = Avx512BW.UnpackLow(ordered.AsByte(), ordered.AsByte()).AsUInt32();
        second = Avx512BW.UnpackHigh(ordered.AsByte(), ordered.AsByte()).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> LoadSigned8(ref byte source, nuint offsetBytes) =>
        Avx512BW.ConvertToVector512Int16(Vector256.LoadUnsafe(ref source, offsetBytes).AsSByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> LoadRepeated(ref byte source, nuint offsetBytes) =>
        Vector512.Create(Vector256.Create(Vector128.LoadUnsafe(ref source, offsetBytes))).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt32(Vector512<uint> value) =>
        Width256.LargestUInt32(Width256.Max(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt16(Vector512<uint> value) =>
        Width256.LargestUInt16(Width256.MaxUInt16(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Prefetch(ref byte source, nuint offsetBytes)
    {
        Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref source, offsetBytes)));
        Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref source, offsetBytes + 64)));
    }

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
