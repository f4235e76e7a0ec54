using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>Sixteen values at a time with operations that every 128-bit instruction set has.</summary>
    internal readonly struct Window128 : IWindowKernel
    {
        public static int Values => 16;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Encode(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte escape, ref byte exponents)
        {
            Vector128<ushort> x0 = Vector128.LoadUnsafe(ref source).AsUInt16();
            Vector128<ushort> x1 = Vector128.LoadUnsafe(ref source, 16).AsUInt16();
            // Narrowing takes the low byte of a lane.
            Vector128<byte> exponent = Vector128.Narrow(x0 >>> 7, x1 >>> 7);
            Vector128.Narrow((x0 << 1) | (x0 >>> 15), (x1 << 1) | (x1 >>> 15)).StoreUnsafe(ref signMantissa);
            Vector128.Max(exponent, Vector128.LoadUnsafe(ref largest)).StoreUnsafe(ref largest);

            Vector128<byte> escapeCode = Vector128.Create((byte)EscapeCode);
            Vector128<byte> code = Vector128.Min(Vector128.LoadUnsafe(ref bases) - exponent, escapeCode);
            Vector128<ulong> packed = Pack(code.AsUInt64());
            ulong second = packed.GetElement(1);
            Unsafe.WriteUnaligned(ref codes, (uint)(packed.ToScalar() | (second << 24)));
            Unsafe.WriteUnaligned(ref At(ref codes, 4), (ushort)(second >> 8));

            uint escapes = Vector128.Equals(code, escapeCode).ExtractMostSignificantBits();
            nuint count = (nuint)BitOperations.PopCount(escapes);
            for (; escapes != 0; escapes &= escapes - 1)
            {
                escape = (byte)(Unsafe.ReadUnaligned<ushort>(
                    ref At(ref source, 2 * (nuint)BitOperations.TrailingZeroCount(escapes))) >> 7);
                escape = ref At(ref escape, 1);
            }

            return count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static nuint Decode(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination)
        {
            ulong bits = Unsafe.ReadUnaligned<uint>(ref codes)
                | ((ulong)Unsafe.ReadUnaligned<ushort>(ref At(ref codes, 4)) << 32);
            Vector128<byte> code = Unpack(Vector128.Create(bits & 0xFF_FFFF, bits >> 24)).AsByte();
            Vector128<byte> exponent = Vector128.LoadUnsafe(ref bases) - code;
            Vector128<byte> rest = Vector128.LoadUnsafe(ref signMantissa);
            Join(Vector128.WidenLower(exponent), Vector128.WidenLower(rest)).AsByte().StoreUnsafe(ref destination);
            Join(Vector128.WidenUpper(exponent), Vector128.WidenUpper(rest)).AsByte().StoreUnsafe(ref destination, 16);

            uint escapes = Vector128.Equals(code, Vector128.Create((byte)EscapeCode)).ExtractMostSignificantBits();
            nuint count = (nuint)BitOperations.PopCount(escapes);
            for (; escapes != 0; escapes &= escapes - 1)
            {
                nuint i = (nuint)BitOperations.TrailingZeroCount(escapes);
                PutValue(escape, At(ref signMantissa, i), ref At(ref destination, 2 * i));
                escape = ref At(ref escape, 1);
            }

            return count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal static void Raise(ref byte source, ref byte largest)
        {
            Vector128<byte> exponent = Vector128.Narrow(
                Vector128.LoadUnsafe(ref source).AsUInt16() >>> 7, Vector128.LoadUnsafe(ref source, 16).AsUInt16() >>> 7);
            Vector128.Max(exponent, Vector128.LoadUnsafe(ref largest)).StoreUnsafe(ref largest);
        }

        /// <summary>Writes the value of an exponent byte and a sign-mantissa byte.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal static void PutValue(uint exponent, uint rest, ref byte destination) =>
            Unsafe.WriteUnaligned(ref destination, (ushort)((rest << 15) | (exponent << 7) | (rest >> 1)));

        // Eight codes in eight bytes to 24 bits, in each 64-bit lane.
        static Vector128<ulong> Pack(Vector128<ulong> code)
        {
            code = (code | (code >>> 5)) & Vector128.Create(0x003F_003F_003F_003Ful);
            code = (code | (code >>> 10)) & Vector128.Create(0x0000_0FFF_0000_0FFFul);
            return (code | (code >>> 20)) & Vector128.Create(0xFF_FFFFul);
        }

        static Vector128<ulong> Unpack(Vector128<ulong> bits)
        {
            bits = (bits | (bits << 20)) & Vector128.Create(0x0000_0FFF_0000_0FFFul);
            bits = (bits | (bits << 10)) & Vector128.Create(0x003F_003F_003F_003Ful);
            return (bits | (bits << 5)) & Vector128.Create(0x0707_0707_0707_0707ul);
        }

        static Vector128<ushort> Join(Vector128<ushort> exponent, Vector128<ushort> rest) =>
            (exponent << 7) | (rest >>> 1) | (rest << 15);
    }
}
