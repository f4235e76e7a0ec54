using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// The arithmetic of docs/numerics.md, one element at a time: codes by searching APFloat's table of values for the nearest, scales by
/// single binary32 operations, powers of two in doubles, where they are exact. Nothing of it comes from the library.
/// </summary>
static class PackingReference
{
    public const int GroupLength = 32;

    static readonly double[] E4M3 = FiniteMagnitudes("e4m3-values");
    static readonly double[] E5M2 = FiniteMagnitudes("e5m2-values");
    static readonly float[] E4M3Values = GoldenTable.ReadValues("e4m3-values");
    static readonly float[] E5M2Values = GoldenTable.ReadValues("e5m2-values");

    /// <summary>2^-120, the smallest scale.</summary>
    public static float SmallestScale { get; } = (float)Math.ScaleB(1, -120);

    public static float Largest(ElementType code) => code switch
    {
        ElementType.Fp8E4M3 => 448,
        ElementType.Fp8E5M2 => 57344,
        _ => 127,
    };

    /// <summary>The largest finite magnitude.</summary>
    public static float Amax(IEnumerable<float> numbers) =>
        numbers.Where(float.IsFinite).Select(Math.Abs).DefaultIfEmpty(0).Max();

    public static PackFlags Flags(IEnumerable<float> numbers)
    {
        PackFlags flags = PackFlags.None;
        foreach (float number in numbers)
            flags |= float.IsNaN(number) ? PackFlags.HadNaN : float.IsInfinity(number) ? PackFlags.HadInfinity : PackFlags.None;
        return flags;
    }

    public static float Scale(float amax, ElementType code, ScaleType type)
    {
        if (amax == 0)
            return 1;
        float quotient = amax / Largest(code);
        float scale = quotient < SmallestScale ? SmallestScale : quotient;
        if (type == ScaleType.BFloat16)
            scale = (float)FormatDefinition.BFloat16.Value(FormatDefinition.BFloat16.Nearest(scale));
        return scale;
    }

    /// <summary>The code of x where the inverse of its scale is given.</summary>
    public static byte Code(float x, float inverse, ElementType code) => Nearest(float.IsNaN(x) ? x : x * inverse, code);

    /// <summary>The code nearest to a number that is already in units of the scale.</summary>
    public static byte Nearest(double number, ElementType code)
    {
        if (code == ElementType.Int8)
        {
            // Doubles hold every binary32 and every half exactly, so that a tie is seen as one.
            double integer = double.IsNaN(number) ? 0 : Math.Clamp(Math.Round(number, MidpointRounding.ToEven), -127, 127);
            return unchecked((byte)(sbyte)integer);
        }

        int sign = double.IsNegative(number) ? 0x80 : 0;
        if (double.IsNaN(number))
            return (byte)(sign | (code == ElementType.Fp8E4M3 ? 0x7F : 0x7E));
        double[] values = code == ElementType.Fp8E4M3 ? E4M3 : E5M2;
        double magnitude = Math.Abs(number);
        int above = Array.BinarySearch(values, magnitude);
        if (above >= 0)
            return (byte)(sign | above);
        above = ~above;
        if (above == values.Length)
            return (byte)(sign | (values.Length - 1));
        double down = magnitude - values[above - 1];
        double up = values[above] - magnitude;
        return (byte)(sign | (down < up || (down == up && above % 2 != 0) ? above - 1 : above));
    }

    public static float Value(byte code, ElementType type) => type switch
    {
        ElementType.Fp8E4M3 => E4M3Values[code],
        ElementType.Fp8E5M2 => E5M2Values[code],
        _ => (sbyte)code,
    };

    /// <summary>The exponent of a group's scale: Floor as OCP MX writes it, Ceiling by trying powers of two until amax fits.</summary>
    public static int GroupExponent(float amax, ElementType code, MxRule rule)
    {
        if (amax == 0)
            return -127;
        int exponent = Math.ILogB(amax) - (code == ElementType.Fp8E4M3 ? 8 : 15);
        if (rule == MxRule.Ceiling)
        {
            exponent = -200;
            while (amax > Math.ScaleB(Largest(code), exponent))
                exponent++;
        }

        return Math.Clamp(exponent, -127, 127);
    }

    /// <summary>Rounds a binary32 to a format of two bytes or leaves it; NaN is only a class.</summary>
    public static uint Round(float number, ElementType to) => to switch
    {
        ElementType.Float32 => BitConverter.SingleToUInt32Bits(number),
        _ when float.IsNaN(number) => float.IsNegative(number) ? 0xFFFFu : 0x7FFFu,
        ElementType.BFloat16 => (uint)FormatDefinition.BFloat16.Nearest(number),
        _ => (uint)FormatDefinition.Half.Nearest(number),
    };

    static double[] FiniteMagnitudes(string table) =>
        [.. GoldenTable.ReadValues(table).Take(128).TakeWhile(float.IsFinite).Select(value => (double)value)];
}
