using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Numerics;

/// <summary>256-bit vectors: AVX2.</summary>
readonly struct Width256 : ISimdWidth<Vector256<uint>>
{
    public static int Lanes => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Create(uint value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> And(Vector256<uint> left, Vector256<uint> right) => left & right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Or(Vector256<uint> left, Vector256<uint> right) => left | right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Add(Vector256<uint> left, Vector256<uint> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Subtract(Vector256<uint> left, Vector256<uint> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Min(Vector256<uint> left, Vector256<uint> right) => Vector256.Min(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Max(Vector256<uint> left, Vector256<uint> right) => Vector256.Max(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> MaxUInt16(Vector256<uint> left, Vector256<uint> right) =>
        Vector256.Max(left.AsUInt16(), right.AsUInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ShiftLeft(Vector256<uint> value, int count) => value << count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ShiftRight(Vector256<uint> value, int count) => value >>> count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> GreaterThan(Vector256<uint> left, Vector256<uint> right) =>
        Vector256.GreaterThan(left.AsInt32(), right.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Select(Vector256<uint> mask, Vector256<uint> whenSet, Vector256<uint> otherwise) =>
        Vector256.ConditionalSelect(mask, whenSet, otherwise);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> AddSingle(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsSingle() + right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> SubtractSingle(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsSingle() - right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> MultiplySingle(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsSingle() * right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ShiftRightSigned(Vector256<uint> value, int count) => (value.AsInt32() >> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> DivideSingle(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsSingle() / right.AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ToSingle(Vector256<uint> integers) => Vector256.ConvertToSingle(integers.AsInt32()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unzip(Vector256<uint> first, Vector256<uint> second, out Vector256<uint> even, out Vector256<uint> odd)
    {
        Vector256<float> low = Avx.Permute2x128(first.AsSingle(), second.AsSingle(), 0x20);
        Vector256<float> high = Avx.Permute2x128(first.AsSingle(), second.AsSingle(), 0x31);
        even = Avx.Shuffle(low, high, 0b10_00_10_00).AsUInt32();
        odd = Avx.Shuffle(low, high, 0b11_01_11_01).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zip(Vector256<uint> even, Vector256<uint> odd, out Vector256<uint> first, out Vector256<uint> second)
    {
        Vector256<uint> low = Avx2.UnpackLow(even, odd);
        Vector256<uint> high = Avx2.UnpackHigh(even, odd);
        first = Avx2.Permute2x128(low, high, 0x20);
        second = Avx2.Permute2x128(low, high, 0x31);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> MaxInt16(Vector256<uint> left, Vector256<uint> right) =>
        Vector256.Max(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> AddInt16(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsInt16() + right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> SubtractInt16(Vector256<uint> left, Vector256<uint> right) =>
        (left.AsInt16() - right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> GreaterThanInt16(Vector256<uint> left, Vector256<uint> right) =>
        Vector256.GreaterThan(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ShiftLeft16(Vector256<uint> value, int count) => (value.AsUInt16() << count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ShiftRight16(Vector256<uint> value, int count) => (value.AsUInt16() >>> count).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool NoCommonBits(Vector256<uint> left, Vector256<uint> right) => (left & right) == Vector256<uint>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> AddSaturateInt16(Vector256<uint> left, Vector256<uint> right) =>
        Avx2.AddSaturate(left.AsInt16(), right.AsInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> LookUpBytes(Vector256<uint> table, Vector256<uint> indices) =>
        Avx2.Shuffle(table.AsByte(), indices.AsByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSignedBytes(Vector256<uint> first, Vector256<uint> second, ref byte destination, nuint offsetBytes)
    {
        Vector256<ulong> packed = Avx2.PackSignedSaturate(first.AsInt16(), second.AsInt16()).AsUInt64();
        Avx2.Permute4x64(packed, 0b11_01_10_00).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytesWithSigns(
        Vector256<uint> first,
        Vector256<uint> second,
        Vector256<uint> firstSigns,
        Vector256<uint> secondSigns,
        ref byte destination,
        nuint offsetBytes)
    {
        // Saturation keeps the sign of a 16-bit number and loses nothing that is wanted.
        Vector256<byte> signs = Avx2.PackSignedSaturate(firstSigns.AsInt16(), secondSigns.AsInt16()).AsByte() & Vector256.Create((byte)0x80);
        Vector256<byte> packed = Avx2.PackUnsignedSaturate(first.AsInt16(), second.AsInt16()) | signs;
        Avx2.Permute4x64(packed.AsUInt64(), 0b11_01_10_00).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadDoubled(ref byte source, nuint offsetBytes, out Vector256<uint> first, out Vector256<uint> second)
    {
        Vector256<byte> bytes = Avx2.Permute4x64(Vector256.LoadUnsafe(ref source, offsetBytes).AsUInt64(), 0b11_01_10_00).AsByte();
        first = Avx2.UnpackLow(bytes, bytes).AsUInt32();
        second = Avx2.UnpackHigh(bytes, bytes).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> LoadSigned8(ref byte source, nuint offsetBytes) =>
        Avx2.ConvertToVector256Int16(Vector128.LoadUnsafe(ref source, offsetBytes).AsSByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> LoadRepeated(ref byte source, nuint offsetBytes) =>
        Vector256.Create(Vector128.LoadUnsafe(ref source, offsetBytes)).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt32(Vector256<uint> value) =>
        Width128.LargestUInt32(Width128.Max(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestUInt16(Vector256<uint> value) =>
        Width128.LargestUInt16(Width128.MaxUInt16(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Prefetch(ref byte source, nuint offsetBytes)
    {
        Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref source, offsetBytes)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Load32(ref byte source, nuint offsetBytes) =>
        Vector256.LoadUnsafe(ref source, offsetBytes).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Load16(ref byte source, nuint offsetBytes) =>
        Avx2.ConvertToVector256Int32(Vector128.LoadUnsafe(ref source, offsetBytes).AsUInt16()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Load8(ref byte source, nuint offsetBytes) =>
        Avx2.ConvertToVector256Int32(
            Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref Unsafe.AddByteOffset(ref source, offsetBytes))).AsByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store32(Vector256<uint> value, ref byte destination, nuint offsetBytes) =>
        value.AsByte().StoreUnsafe(ref destination, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16(Vector256<uint> first, Vector256<uint> second, ref byte destination, nuint offsetBytes)
    {
        // The pack works inside 128-bit halves; the permutation puts the quarters back in order.
        Vector256<ulong> packed = Avx2.PackUnsignedSaturate(first.AsInt32(), second.AsInt32()).AsUInt64();
        Avx2.Permute4x64(packed, 0b11_01_10_00).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store8(
        Vector256<uint> first, Vector256<uint> second, Vector256<uint> third, Vector256<uint> fourth, ref byte destination, nuint offsetBytes)
    {
        Vector256<short> low = Avx2.PackUnsignedSaturate(first.AsInt32(), second.AsInt32()).AsInt16();
        Vector256<short> high = Avx2.PackUnsignedSaturate(third.AsInt32(), fourth.AsInt32()).AsInt16();
        Vector256<int> packed = Avx2.PackUnsignedSaturate(low, high).AsInt32();
        Avx2.PermuteVar8x32(packed, Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> JoinHalves(Vector256<uint> low, Vector256<uint> high) =>
        Avx2.Blend(low.AsUInt16(), high.AsUInt16(), 0b1010_1010).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Vector256<uint> first, Vector256<uint> second, ref byte destination, nuint offsetBytes)
    {
        Vector256<ulong> packed = Avx2.PackUnsignedSaturate(first.AsInt16(), second.AsInt16()).AsUInt64();
        Avx2.Permute4x64(packed, 0b11_01_10_00).AsByte().StoreUnsafe(ref destination, offsetBytes);
    }
}
