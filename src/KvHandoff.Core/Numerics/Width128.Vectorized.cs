using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
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
    public static Vector128<uint> ShiftRightSigned(Vector128<uint> value, int count) => (value.AsInt32() >> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> DivideSingle(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsSingle() / right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ToSingle(Vector128<uint> integers) => Vector128.ConvertToSingle(integers.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unzip(Vector128<uint> first, Vector128<uint> second, out Vector128<uint> even, out Vector128<uint> odd)
    {
        if (AdvSimd.Arm64.IsSupported)
        {
            even = AdvSimd.Arm64.UnzipEven(first, second);
            odd = AdvSimd.Arm64.UnzipOdd(first, second);
            return;
        }

        even = Sse.Shuffle(first.AsSingle(), second.AsSingle(), 0b10_00_10_00).AsUInt32();
        odd = Sse.Shuffle(first.AsSingle(), second.AsSingle(), 0b11_01_11_01).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zip(Vector128<uint> even, Vector128<uint> odd, out Vector128<uint> first, out Vector128<uint> second)
    {
        if (AdvSimd.Arm64.IsSupported)
        {
            first = AdvSimd.Arm64.ZipLow(even, odd);
            second = AdvSimd.Arm64.ZipHigh(even, odd);
            return;
        }

        first = Sse2.UnpackLow(even, odd);
        second = Sse2.UnpackHigh(even, odd);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> MaxInt16(Vector128<uint> left, Vector128<uint> right) =>
        Vector128.Max(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> AddInt16(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsInt16() + right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> SubtractInt16(Vector128<uint> left, Vector128<uint> right) =>
        (left.AsInt16() - right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> GreaterThanInt16(Vector128<uint> left, Vector128<uint> right) =>
        Vector128.GreaterThan(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ShiftLeft16(Vector128<uint> value, int count) => (value.AsUInt16() << count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ShiftRight16(Vector128<uint> value, int count) => (value.AsUInt16() >>> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool NoCommonBits(Vector128<uint> left, Vector128<uint> right) => (left & right) == Vector128<uint>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> AddSaturateInt16(Vector128<uint> left, Vector128<uint> right) =>
        AdvSimd.IsSupported
            ? AdvSimd.AddSaturate(left.AsInt16(), right.AsInt16()).AsUInt32()
            : Sse2.AddSaturate(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> LookUpBytes(Vector128<uint> table, Vector128<uint> indices) =>
        Ssse3.IsSupported
            ? Ssse3.Shuffle(table.AsByte(), indices.AsByte()).AsUInt32()
            : Vector128.Shuffle(table.AsByte(), indices.AsByte() & Vector128.Create((byte)0x0F)).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSignedBytes(Vector128<uint> first, Vector128<uint> second, ref byte destination, nuint offsetBytes) =>
        Vector128.Narrow(first.AsInt16(), second.AsInt16()).AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytesWithSigns(
        Vector128<uint> first,
        Vector128<uint> second,
        Vector128<uint> firstSigns,
        Vector128<uint> secondSigns,
        ref byte destination,
        nuint offsetBytes)
    {
        Vector128<uint> sign = Vector128.Create(0x0080_0080u);
        StoreBytes(first | ((firstSigns >>> 8) & sign), second | ((secondSigns >>> 8) & sign), ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadDoubled(ref byte source, nuint offsetBytes, out Vector128<uint> first, out Vector128<uint> second)
    {
        (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(Vector128.LoadUnsafe(ref source, offsetBytes));
        first = (low | (low << 8)).AsUInt32();
        second = (high | (high << 8)).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> LoadSigned8(ref byte source, nuint offsetBytes) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, offsetBytes))).AsSByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> LoadRepeated(ref byte source, nuint offsetBytes) => Load32(ref source, offsetBytes);

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
    public static unsafe void Prefetch(ref byte source, nuint offsetBytes)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref source, offsetBytes)));
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
