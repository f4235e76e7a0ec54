using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

/// <summary>
/// Unpacks FP8 rows to BF16. Under one scale the BF16 of a normal code depends on its mantissa alone, but for the exponent that is
/// added; that of a subnormal code is its mantissa's too. So a row needs two tables of at most eight numbers, and no arithmetic
/// in binary32.
/// </summary>
static class Fp8RowTables
{
    /// <summary>Bytes of the tables of one row.</summary>
    internal const int Bytes = 32;

    internal const int BufferRows = 16;

    /// <summary>Whether every finite code under this scale is a normal BF16, or zero, and finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool Covers(float scale) => scale >= 7.8886091e-31f && scale <= 1.2676506e30f; // 2^-100, 2^100

    /// <summary>
    /// Unpacks what fills whole vectors of one row up to the first infinity or NaN, and returns how many elements that was.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static nuint Unpack<TCode, TWidth, TVector>(ref byte codes, nuint length, ref byte tables, ref byte destination)
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint step = (nuint)TWidth.Lanes * 4;
        if (length < step)
            return 0;

        TVector normals = TWidth.LoadRepeated(ref tables, 0);
        TVector subnormals = TWidth.LoadRepeated(ref tables, 16);
        nuint i = 0;
        for (; i + step <= length; i += step)
        {
            // Adding this to a code without its sign carries into the sign's place when it is an infinity or NaN.
            TVector special = TWidth.Add(
                TWidth.And(TWidth.Load32(ref codes, i), TWidth.Create(0x7F7F_7F7F)),
                TWidth.Create((0x80u - TCode.FirstSpecial) * 0x0101_0101));
            if (!TWidth.NoCommonBits(special, TWidth.Create(0x8080_8080)))
                break;
            TWidth.LoadDoubled(ref codes, i, out TVector first, out TVector second);
            TWidth.Store32(Convert<TCode, TWidth, TVector>(first, normals, subnormals), ref destination, i * 2);
            TWidth.Store32(Convert<TCode, TWidth, TVector>(second, normals, subnormals), ref destination, (i * 2) + step);
        }

        return i;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Convert<TCode, TWidth, TVector>(TVector doubled, TVector normals, TVector subnormals)
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // The low byte of a lane looks up the low byte of its number, the high byte, eight entries on, the high one.
        TVector indices = TWidth.Or(
            TWidth.And(doubled, TWidth.Create(((1u << TCode.MantissaBits) - 1) * 0x0101_0101)), TWidth.Create(0x0800_0800));
        TVector exponents = TWidth.ShiftLeft16(
            TWidth.And(doubled, TWidth.Create((0x80u - (1u << TCode.MantissaBits)) * 0x0001_0001)), 7 - TCode.MantissaBits);
        TVector magnitude = TWidth.Select(
            TWidth.GreaterThanInt16(exponents, TWidth.Create(0)),
            TWidth.AddInt16(TWidth.LookUpBytes(normals, indices), exponents),
            TWidth.LookUpBytes(subnormals, indices));
        return TWidth.Or(magnitude, TWidth.And(doubled, TWidth.Create(0x8000_8000)));
    }

    /// <summary>
    /// Writes the two tables of a row, of low and high bytes each: of codes of exponent zero had they a hidden bit, and of
    /// subnormal codes. To be done for some rows ahead: a row that waits for its tables takes twice its time.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Write<TCode>(float scale, ref byte tables)
        where TCode : IPackedCode
    {
        Vector256<float> factor = Vector256.Create(scale);
        Vector256<float> mantissas = Vector256.Create(0f, 1, 2, 3, 4, 5, 6, 7);
        float unit = TCode.SmallestSubnormal;
        Vector256<float> hidden = (mantissas + Vector256.Create((float)(1 << TCode.MantissaBits))) * Vector256.Create(unit / 2);
        Vector256<ushort> numbers = Vector256.Narrow(
            RoundToBFloat16(hidden * factor), RoundToBFloat16(mantissas * Vector256.Create(unit) * factor));
        Vector256<ulong> bytes = Vector256.Narrow(numbers & Vector256.Create((ushort)0xFF), numbers >>> 8).AsUInt64();
        Vector256.Shuffle(bytes, Vector256.Create(0ul, 2, 1, 3)).AsByte().StoreUnsafe(ref tables);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<uint> RoundToBFloat16(Vector256<float> singles)
    {
        Vector256<uint> bits = singles.AsUInt32();
        return (bits + ((bits >>> 16) & Vector256.Create(1u)) + Vector256.Create(0x7FFFu)) >>> 16;
    }

    /// <summary>Room for the tables of <see cref="BufferRows"/> rows.</summary>
    [InlineArray(BufferRows * Bytes / 8)]
    internal struct Buffer
    {
        ulong first;
    }
}
