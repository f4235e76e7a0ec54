#if NET10_0_OR_GREATER
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>The AVX-512 instructions on bytes that the kernel needs, so that tests can put their definitions in their place.</summary>
    internal interface IBytes512
    {
        /// <summary>Byte i of the result is byte <c>indices[i] mod 128</c> of the two sources laid end to end.</summary>
        static abstract Vector512<byte> Pick(Vector512<byte> lower, Vector512<byte> indices, Vector512<byte> upper);

        /// <summary>Byte i of the result is byte <c>indices[i] mod 64</c> of the source.</summary>
        static abstract Vector512<byte> Pick(Vector512<byte> source, Vector512<byte> indices);

        /// <summary>Byte i of the result is the eight bits from bit <c>shifts[i] mod 64</c> of its 64-bit lane, around the end.</summary>
        static abstract Vector512<byte> MultiShift(Vector512<byte> shifts, Vector512<ulong> source);

        /// <summary>Sums of neighbouring products in 16 bits.</summary>
        static abstract Vector512<short> MultiplyAdd(Vector512<byte> left, Vector512<sbyte> right);

        /// <summary>Sums of neighbouring products in 32 bits.</summary>
        static abstract Vector512<int> MultiplyAdd(Vector512<short> left, Vector512<short> right);

        /// <summary>The bytes whose mask is set, together at the low end; zeros behind them.</summary>
        static abstract Vector512<byte> Compress(Vector512<byte> mask, Vector512<byte> value);

        /// <summary>The low bytes of the value where the mask is set, one after the other; <paramref name="otherwise"/> elsewhere.</summary>
        static abstract Vector512<byte> Expand(Vector512<byte> otherwise, Vector512<byte> mask, Vector512<byte> value);
    }

    /// <summary>AVX-512 BW, VBMI and VBMI2.</summary>
    internal readonly struct Bytes512 : IBytes512
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Pick(Vector512<byte> lower, Vector512<byte> indices, Vector512<byte> upper) =>
            Avx512Vbmi.PermuteVar64x8x2(lower, indices, upper);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Pick(Vector512<byte> source, Vector512<byte> indices) =>
            Avx512Vbmi.PermuteVar64x8(source, indices);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> MultiShift(Vector512<byte> shifts, Vector512<ulong> source) =>
            Avx512Vbmi.MultiShift(shifts, source);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<short> MultiplyAdd(Vector512<byte> left, Vector512<sbyte> right) =>
            Avx512BW.MultiplyAddAdjacent(left, right);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<int> MultiplyAdd(Vector512<short> left, Vector512<short> right) =>
            Avx512BW.MultiplyAddAdjacent(left, right);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Compress(Vector512<byte> mask, Vector512<byte> value) =>
            Avx512Vbmi2.Compress(Vector512<byte>.Zero, mask, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Expand(Vector512<byte> otherwise, Vector512<byte> mask, Vector512<byte> value) =>
            Avx512Vbmi2.Expand(otherwise, mask, value);
    }

    /// <summary>Sixty-four values at a time with AVX-512 and its byte permutations.</summary>
    internal readonly struct Window512<TBytes> : IWindowKernel
        where TBytes : IBytes512
    {
        public static int Values => 64;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Encode(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte escape, ref byte exponents)
        {
            Vector512<byte> x0 = RotateLeft(Vector512.LoadUnsafe(ref source).AsUInt16()).AsByte();
            Vector512<byte> x1 = RotateLeft(Vector512.LoadUnsafe(ref source, 64).AsUInt16()).AsByte();
            TBytes.Pick(x0, Even, x1).StoreUnsafe(ref signMantissa);
            Vector512<byte> exponent = TBytes.Pick(x0, Even | Vector512<byte>.One, x1);
            Vector512.Max(exponent, Vector512.LoadUnsafe(ref largest)).StoreUnsafe(ref largest);

            Vector512<byte> escapeCode = Vector512.Create((byte)EscapeCode);
            Vector512<byte> code = Vector512.Min(Vector512.LoadUnsafe(ref bases) - exponent, escapeCode);
            Vector512<short> pairs = TBytes.MultiplyAdd(code, Vector512.Create((short)0x0801).AsSByte());
            Vector512<ulong> quads = TBytes.MultiplyAdd(pairs, Vector512.Create(0x0040_0001).AsInt16()).AsUInt64();
            Vector256<byte> packed = TBytes.Pick((quads | (quads >>> 20)).AsByte(), ThreeOfEight).GetLower();
            packed.GetLower().StoreUnsafe(ref codes);
            Unsafe.WriteUnaligned(ref At(ref codes, 16), packed.AsUInt64().GetElement(2));

            Vector512<byte> mask = Vector512.Equals(code, escapeCode);
            TBytes.Compress(mask, exponent).StoreUnsafe(ref escape);
            return (nuint)BitOperations.PopCount(mask.ExtractMostSignificantBits());
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Decode(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination)
        {
            // Eight bytes of the sign-mantissas are loaded with the codes; no index asks for them.
            Vector512<byte> spread = TBytes.Pick(Vector256.LoadUnsafe(ref codes).ToVector512Unsafe(), EightOfThree);
            Vector512<byte> escapeCode = Vector512.Create((byte)EscapeCode);
            Vector512<byte> code = TBytes.MultiShift(EveryThreeBits, spread.AsUInt64()) & escapeCode;
            Vector512<byte> mask = Vector512.Equals(code, escapeCode);
            Vector512<byte> exponent = TBytes.Expand(Vector512.LoadUnsafe(ref bases) - code, mask, Vector512.LoadUnsafe(ref escape));
            Vector512<byte> rest = Vector512.LoadUnsafe(ref signMantissa);
            RotateRight(TBytes.Pick(rest, Interleave, exponent).AsUInt16()).AsByte().StoreUnsafe(ref destination);
            RotateRight(TBytes.Pick(rest, Interleave + Vector512.Create((byte)32), exponent).AsUInt16()).AsByte().StoreUnsafe(ref destination, 64);
            return (nuint)BitOperations.PopCount(mask.ExtractMostSignificantBits());
        }

        static Vector512<byte> Even
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector512.Create(
                (byte)0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62,
                64, 66, 68, 70, 72, 74, 76, 78, 80, 82, 84, 86, 88, 90, 92, 94,
                96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126);
        }

        /// <summary>Byte i of the first source, then of the second; adding 32 gives the other half.</summary>
        static Vector512<byte> Interleave
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector512.Create(
                (byte)0, 64, 1, 65, 2, 66, 3, 67, 4, 68, 5, 69, 6, 70, 7, 71,
                8, 72, 9, 73, 10, 74, 11, 75, 12, 76, 13, 77, 14, 78, 15, 79,
                16, 80, 17, 81, 18, 82, 19, 83, 20, 84, 21, 85, 22, 86, 23, 87,
                24, 88, 25, 89, 26, 90, 27, 91, 28, 92, 29, 93, 30, 94, 31, 95);
        }

        /// <summary>The three low bytes of every 64-bit lane.</summary>
        static Vector512<byte> ThreeOfEight
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector512.Create(
                (byte)0, 1, 2, 8, 9, 10, 16, 17, 18, 24, 25, 26, 32, 33, 34, 40,
                41, 42, 48, 49, 50, 56, 57, 58, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        }

        /// <summary>Three bytes to the low end of every 64-bit lane.</summary>
        static Vector512<byte> EightOfThree
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector512.Create(
                (byte)0, 1, 2, 0, 0, 0, 0, 0, 3, 4, 5, 0, 0, 0, 0, 0,
                6, 7, 8, 0, 0, 0, 0, 0, 9, 10, 11, 0, 0, 0, 0, 0,
                12, 13, 14, 0, 0, 0, 0, 0, 15, 16, 17, 0, 0, 0, 0, 0,
                18, 19, 20, 0, 0, 0, 0, 0, 21, 22, 23, 0, 0, 0, 0, 0);
        }

        static Vector512<byte> EveryThreeBits
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector512.Create(0x1512_0F0C_0906_0300ul).AsByte();
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector512<ushort> RotateLeft(Vector512<ushort> value) => (value << 1) | (value >>> 15);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector512<ushort> RotateRight(Vector512<ushort> value) => (value >>> 1) | (value << 15);
    }
}
#endif
