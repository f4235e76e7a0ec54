using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>
/// The arithmetic of every stored form, one number at a time and from its definition: IEEE 754 and OCP formats, amax scales, CRC-32C.
/// No code of the library takes part.
/// </summary>
internal static class LayoutPairNumbers
{
    private const float SmallestScale = 7.52316385e-37f;

    public static int SizeBytes(ElementType type) => type is ElementType.Float32 ? 4 : type is ElementType.Float16 or ElementType.BFloat16 ? 2 : 1;

    public static int SizeBytes(ScaleType type) => type switch { ScaleType.Float32 => 4, ScaleType.BFloat16 => 2, _ => 1 };

    public static float LargestCode(ElementType type) => type switch { ElementType.Fp8E4M3 => 448, ElementType.Fp8E5M2 => 57344, _ => 127 };

    /// <summary>One element, rounded to nearest even; 8-bit floats saturate, wider ones overflow to infinity.</summary>
    public static void Write(Span<byte> place, ElementType type, float value)
    {
        switch (type)
        {
            case ElementType.Float32: BitConverter.TryWriteBytes(place, value); break;
            case ElementType.Float16: BitConverter.TryWriteBytes(place, (Half)value); break;
            case ElementType.BFloat16: BitConverter.TryWriteBytes(place, BFloat16Bits(value)); break;
            default: place[0] = Code(type, value); break;
        }
    }

    public static float Read(ReadOnlySpan<byte> place, ElementType type) => type switch
    {
        ElementType.Float32 => BitConverter.ToSingle(place),
        ElementType.Float16 => (float)BitConverter.ToHalf(place),
        ElementType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(place) << 16),
        ElementType.Fp8E4M3 => Small(place[0], mantissaBits: 3, bias: 7),
        ElementType.Fp8E5M2 => (float)BitConverter.UInt16BitsToHalf((ushort)(place[0] << 8)),
        _ => (sbyte)place[0],
    };

    public static byte Code(ElementType type, float value)
    {
        if (type == ElementType.Int8)
            return float.IsNaN(value) ? (byte)0 : (byte)(sbyte)Math.Round(Math.Clamp((double)value, -127, 127), MidpointRounding.ToEven);
        int mantissaBits = type == ElementType.Fp8E4M3 ? 3 : 2, bias = type == ElementType.Fp8E4M3 ? 7 : 15;
        int sign = float.IsNegative(value) ? 0x80 : 0;
        if (float.IsNaN(value)) return (byte)(sign | (type == ElementType.Fp8E4M3 ? 0x7F : 0x7E));
        double magnitude = Math.Abs((double)value), largest = LargestCode(type);
        if (magnitude > largest) magnitude = largest;
        int exponent = magnitude == 0 ? 1 - bias : Math.Max(1 - bias, Math.ILogB(magnitude));
        // Steps of the binade; a carry runs into the exponent by itself.
        int steps = (int)Math.Round(Math.ScaleB(magnitude, mantissaBits - exponent), MidpointRounding.ToEven);
        return (byte)(sign | (((exponent + bias - 1) << mantissaBits) + steps));
    }

    /// <summary>The scale of a largest finite magnitude, as it is stored: fp32, or rounded to BF16.</summary>
    public static float Scale(float amax, ElementType code, ScaleType type)
    {
        float scale = amax == 0 ? 1f : Math.Max((float)((double)amax / LargestCode(code)), SmallestScale);
        return type == ScaleType.BFloat16 ? BitConverter.UInt32BitsToSingle((uint)BFloat16Bits(scale) << 16) : scale;
    }

    public static float Inverse(float scale) => (float)(1.0 / scale);

    /// <summary>The byte of the smallest power of two that brings a magnitude to the largest code or below.</summary>
    public static byte GroupScale(float amax, ElementType code)
    {
        int power = -127;
        while (power < 127 && amax > Math.ScaleB(LargestCode(code), power)) power++;
        return (byte)(power + 127);
    }

    public static float GroupScaleValue(byte bits) => (float)Math.ScaleB(1, bits - 127);

    public static ushort BFloat16Bits(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>CRC-32C bit by bit, as RFC 3720 defines it.</summary>
    public static uint Crc32C(ReadOnlySpan<byte> bytes)
    {
        uint crc = ~0u;
        foreach (byte b in bytes)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78 & (0u - (crc & 1)));
        }

        return ~crc;
    }

    private static float Small(byte code, int mantissaBits, int bias)
    {
        float sign = (code & 0x80) != 0 ? -1f : 1f;
        int exponent = (code & 0x7F) >> mantissaBits, mantissa = code & ((1 << mantissaBits) - 1);
        if ((code & 0x7F) == 0x7F) return BitConverter.UInt32BitsToSingle(0x7FC0_0000u | (uint)(code & 0x80) << 24);
        double magnitude = exponent == 0
            ? Math.ScaleB(mantissa, 1 - bias - mantissaBits)
            : Math.ScaleB(mantissa + (1 << mantissaBits), exponent - bias - mantissaBits);
        return sign * (float)magnitude;
    }
}
