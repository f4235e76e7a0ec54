using System.Buffers.Binary;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>
/// Elements and scales as bytes, written and read by the definition of each format and without the library's conversions. Made up as
/// codes, so that nothing has to be rounded.
/// </summary>
static class StoredNumbers
{
    /// <summary>Writes an element that stands for a number of about unit size, or less; int8: -128 to 127.</summary>
    public static void WriteRandom(ElementType type, SeededDraws draws, Span<byte> at)
    {
        switch (type)
        {
            case ElementType.Float32: BinaryPrimitives.WriteSingleLittleEndian(at, draws.Normal()); break;
            case ElementType.Float16: BinaryPrimitives.WriteHalfLittleEndian(at, (Half)draws.Normal()); break;
            case ElementType.BFloat16: BinaryPrimitives.WriteUInt16LittleEndian(at, (ushort)(BitConverter.SingleToUInt32Bits(draws.Normal()) >> 16)); break;
            // Magnitudes up to 2, subnormal ones included, evenly over the codes.
            case ElementType.Fp8E4M3 or ElementType.Fp8E5M2: at[0] = (byte)(draws.Below(2) * 0x80 + draws.Below(0x41)); break;
            default: at[0] = (byte)draws.Next(); break;
        }
    }

    /// <summary>The number that an element stands for, without its scale; exact.</summary>
    public static double Read(ElementType type, ReadOnlySpan<byte> at) => type switch
    {
        ElementType.Float32 => Binary(BinaryPrimitives.ReadUInt32LittleEndian(at), 8, 23),
        ElementType.Float16 => Binary(BinaryPrimitives.ReadUInt16LittleEndian(at), 5, 10),
        ElementType.BFloat16 => Binary(BinaryPrimitives.ReadUInt16LittleEndian(at), 8, 7),
        // E4M3 has no infinities, and one NaN of each sign.
        ElementType.Fp8E4M3 => (at[0] & 0x7F) == 0x7F ? double.NaN : Binary(at[0], 4, 3, hasInfinity: false),
        ElementType.Fp8E5M2 => Binary(at[0], 5, 2),
        ElementType.Int8 => (sbyte)at[0],
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    public static void WriteScale(ScaleType type, double scale, Span<byte> at)
    {
        // Rounded down to what the type holds.
        uint bits = BitConverter.SingleToUInt32Bits((float)scale);
        if (type == ScaleType.Float32) BinaryPrimitives.WriteUInt32LittleEndian(at, bits);
        else if (type == ScaleType.BFloat16) BinaryPrimitives.WriteUInt16LittleEndian(at, (ushort)(bits >> 16));
        else at[0] = (byte)(bits >> 23);
    }

    public static double ReadScale(ScaleType type, ReadOnlySpan<byte> at) => type switch
    {
        ScaleType.Float32 => Read(ElementType.Float32, at),
        ScaleType.BFloat16 => Read(ElementType.BFloat16, at),
        _ => at[0] == 255 ? double.NaN : Math.ScaleB(1, at[0] - 127),
    };

    public static int ScaleBytes(ScaleType type) => type switch { ScaleType.Float32 => 4, ScaleType.BFloat16 => 2, _ => 1 };

    static double Binary(uint bits, int exponentBits, int mantissaBits, bool hasInfinity = true)
    {
        int exponent = (int)(bits >> mantissaBits) & ((1 << exponentBits) - 1), bias = (1 << (exponentBits - 1)) - 1;
        uint mantissa = bits & ((1u << mantissaBits) - 1);
        double sign = (bits >> (exponentBits + mantissaBits) & 1) != 0 ? -1 : 1;
        if (hasInfinity && exponent == (1 << exponentBits) - 1) return mantissa == 0 ? sign * double.PositiveInfinity : double.NaN;
        return exponent == 0
            ? sign * mantissa * Math.ScaleB(1, 1 - bias - mantissaBits)
            : sign * (mantissa + (double)(1 << mantissaBits)) * Math.ScaleB(1, exponent - bias - mantissaBits);
    }
}
