using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>Sixty-four values at a time with AVX2, in two halves.</summary>
    internal readonly struct Window256 : IWindowKernel
    {
        const int Half = 32;

        public static int Values => 2 * Half;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Encode(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte escape, ref byte exponents)
        {
            ulong escapes = EncodeHalf(ref source, ref bases, ref largest, ref codes, ref signMantissa, ref exponents)
                | ((ulong)EncodeHalf(
                    ref At(ref source, 2 * Half), ref At(ref bases, Half), ref At(ref largest, Half), ref At(ref codes, Half / 8 * 3),
                    ref At(ref signMantissa, Half), ref At(ref exponents, Half)) << Half);

            // Four are written whether there are any or not: a branch would often be guessed wrong, and what is too much is overwritten.
            // Of no escape at all the byte behind the exponents is taken.
            ulong rest = escapes;
            escape = At(ref exponents, (nuint)BitOperations.TrailingZeroCount(rest));
            rest &= rest - 1;
            At(ref escape, 1) = At(ref exponents, (nuint)BitOperations.TrailingZeroCount(rest));
            rest &= rest - 1;
            At(ref escape, 2) = At(ref exponents, (nuint)BitOperations.TrailingZeroCount(rest));
            rest &= rest - 1;
            At(ref escape, 3) = At(ref exponents, (nuint)BitOperations.TrailingZeroCount(rest));
            rest &= rest - 1;
            if (rest != 0) AppendEscapes(ref exponents, rest, ref At(ref escape, 4));
            return (nuint)BitOperations.PopCount(escapes);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Decode(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination)
        {
            nuint first = DecodeHalf(ref codes, ref signMantissa, ref bases, ref escape, ref destination);
            return first + DecodeHalf(
                ref At(ref codes, Half / 8 * 3), ref At(ref signMantissa, Half), ref At(ref bases, Half), ref At(ref escape, first),
                ref At(ref destination, 2 * Half));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal static void Raise(ref byte source, ref byte largest)
        {
            (_, Vector256<byte> exponent) = Split(ref source);
            Vector256.Max(exponent, Vector256.LoadUnsafe(ref largest)).StoreUnsafe(ref largest);
            (_, exponent) = Split(ref At(ref source, 2 * Half));
            Vector256.Max(exponent, Vector256.LoadUnsafe(ref largest, Half)).StoreUnsafe(ref largest, Half);
        }

        // Returns which of 32 values are escapes.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static uint EncodeHalf(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte exponents)
        {
            (Vector256<byte> signMantissas, Vector256<byte> exponent) = Split(ref source);
            signMantissas.StoreUnsafe(ref signMantissa);
            exponent.StoreUnsafe(ref exponents);
            Vector256.Max(exponent, Vector256.LoadUnsafe(ref largest)).StoreUnsafe(ref largest);

            Vector256<byte> escapeCode = Vector256.Create((byte)EscapeCode);
            Vector256<byte> code = Vector256.Min(Vector256.LoadUnsafe(ref bases) - exponent, escapeCode);
            Vector256<short> pairs = Avx2.MultiplyAddAdjacent(code, Vector256.Create((short)0x0801).AsSByte());
            Vector256<ulong> quads = Avx2.MultiplyAddAdjacent(pairs, Vector256.Create(0x0040_0001).AsInt16()).AsUInt64();
            Vector256<byte> octets = Avx2.Shuffle((quads | (quads >>> 20)).AsByte(), Vector256.Create(
                0, 1, 2, 8, 9, 10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 2, 8, 9, 10, 0x80, 0x80, 0x80, 0x80));
            Vector128<byte> packed = octets.GetLower() | octets.GetUpper();
            Unsafe.WriteUnaligned(ref codes, packed.AsUInt64().ToScalar());
            Unsafe.WriteUnaligned(ref At(ref codes, 8), packed.AsUInt32().GetElement(2));
            return Vector256.Equals(code, escapeCode).ExtractMostSignificantBits();
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static nuint DecodeHalf(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination)
        {
            // Every 16-bit lane gets the two bytes that hold its two codes, and a multiplication moves them to its highest bits.
            Vector128<byte> twelve = Vector128.LoadUnsafe(ref codes);
            Vector256<ushort> lanes = Avx2.Shuffle(Vector256.Create(twelve, twelve), Vector256.Create(
                (byte)0, 1, 0, 1, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5, 5, 6,
                6, 7, 6, 7, 7, 8, 8, 9, 9, 10, 9, 10, 10, 11, 11, 12)).AsUInt16();
            lanes *= Vector256.Create(0x0100_0040_0010_0400ul).AsUInt16();
            Vector256<byte> code =
                (((lanes >>> 10) & Vector256.Create((ushort)7)) | ((lanes >>> 5) & Vector256.Create((ushort)0x700))).AsByte();

            // An escape takes the byte of its rank among the escapes of its 128-bit lane. A running sum of the mask, in which a set byte
            // is -1, gives the rank + 1 negated; its complement is the rank.
            Vector256<byte> isEscape = Vector256.Equals(code, Vector256.Create((byte)EscapeCode));
            uint escapes = isEscape.ExtractMostSignificantBits();
            Vector256<byte> sum = isEscape + Avx2.ShiftLeftLogical128BitLane(isEscape, 1);
            sum += Avx2.ShiftLeftLogical128BitLane(sum, 2);
            sum += Avx2.ShiftLeftLogical128BitLane(sum, 4);
            sum += Avx2.ShiftLeftLogical128BitLane(sum, 8);
            nuint inLower = (nuint)BitOperations.PopCount((uint)(ushort)escapes);
            Vector256<byte> escaped = Avx2.Shuffle(
                Vector256.Create(Vector128.LoadUnsafe(ref escape), Vector128.LoadUnsafe(ref escape, inLower)), ~sum);
            Vector256<byte> exponent = Avx2.BlendVariable(Vector256.LoadUnsafe(ref bases) - code, escaped, isEscape);

            Vector256<byte> rest = Vector256.LoadUnsafe(ref signMantissa);
            Vector256<ushort> outer = RotateRight(Avx2.UnpackLow(rest, exponent).AsUInt16());
            Vector256<ushort> inner = RotateRight(Avx2.UnpackHigh(rest, exponent).AsUInt16());
            Avx2.InsertVector128(outer, inner.GetLower(), 1).AsByte().StoreUnsafe(ref destination);
            Avx2.Permute2x128(outer, inner, 0x31).AsByte().StoreUnsafe(ref destination, 32);
            return (nuint)BitOperations.PopCount(escapes);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void AppendEscapes(ref byte exponents, ulong escapes, ref byte escape)
        {
            for (; escapes != 0; escapes &= escapes - 1)
            {
                escape = At(ref exponents, (nuint)BitOperations.TrailingZeroCount(escapes));
                escape = ref At(ref escape, 1);
            }
        }

        /// <summary>Sign-mantissas and exponents of 32 values, in their order.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static (Vector256<byte> SignMantissa, Vector256<byte> Exponent) Split(ref byte source)
        {
            // Values 0-7 and 16-23, 8-15 and 24-31: narrowing works within 128-bit lanes.
            Vector256<ushort> x0 = Vector256.Create(Vector128.LoadUnsafe(ref source), Vector128.LoadUnsafe(ref source, 32)).AsUInt16();
            Vector256<ushort> x1 = Vector256.Create(Vector128.LoadUnsafe(ref source, 16), Vector128.LoadUnsafe(ref source, 48)).AsUInt16();
            Vector256<ushort> y0 = x0 + x0;
            Vector256<ushort> y1 = x1 + x1;
            Vector256<ushort> low = Vector256.Create((ushort)0xFF);
            return (Narrow((y0 & low) | (x0 >>> 15), (y1 & low) | (x1 >>> 15)), Narrow(y0 >>> 8, y1 >>> 8));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector256<byte> Narrow(Vector256<ushort> first, Vector256<ushort> second) =>
            Avx2.PackUnsignedSaturate(first.AsInt16(), second.AsInt16());

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector256<ushort> RotateRight(Vector256<ushort> value) => (value >>> 1) | (value << 15);
    }
}
