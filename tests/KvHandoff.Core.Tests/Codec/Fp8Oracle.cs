namespace KvHandoff.Core.Tests.Codec;

/// <summary>FP8 E4M3 packing from its definition, one number at a time in fp64 with explicit rounding: no code of the library.</summary>
internal static class Fp8Oracle
{
    public static (byte[] Codes, float Scale) Pack(ReadOnlySpan<float> row)
    {
        double amax = 0;
        foreach (float x in row)
        {
            if (float.IsFinite(x)) amax = Math.Max(amax, Math.Abs((double)x));
        }

        float scale = amax == 0 ? 1f : Math.Max((float)(amax / 448), (float)Math.ScaleB(1, -120));
        float inverse = (float)(1.0 / scale);
        var codes = new byte[row.Length];
        for (int i = 0; i < row.Length; i++) codes[i] = Code((float)((double)row[i] * inverse));
        return (codes, scale);
    }

    public static double Value(byte code)
    {
        if ((code & 0x7F) == 0x7F) return double.NaN;
        int exponent = (code >> 3) & 15, mantissa = code & 7;
        double magnitude = exponent == 0 ? Math.ScaleB(mantissa, -9) : Math.ScaleB(8 + mantissa, exponent - 10);
        return (code & 0x80) != 0 ? -magnitude : magnitude;
    }

    public static ushort BFloat16Bits(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static byte Code(float value)
    {
        int sign = float.IsNegative(value) ? 0x80 : 0;
        if (float.IsNaN(value)) return (byte)(sign | 0x7F);
        double magnitude = Math.Abs((double)value);
        if (magnitude >= 448) return (byte)(sign | 0x7E);
        if (magnitude < Math.ScaleB(1, -6)) return (byte)(sign | (int)Math.Round(magnitude * 512, MidpointRounding.ToEven));
        int exponent = Math.ILogB(magnitude);
        // A mantissa that rounds to 16 carries into the exponent by itself.
        int steps = (int)Math.Round(Math.ScaleB(magnitude, 3 - exponent), MidpointRounding.ToEven);
        return (byte)(sign | Math.Min(0x7E, ((exponent + 7) << 3) + steps - 8));
    }
}
