namespace KvHandoff.Numerics;

/// <summary>
/// The definition of the formats narrower than binary32, in integer arithmetic on their bits: slow, obvious, and
/// independent of the vectorised forms that are tested against it.
/// </summary>
static class NarrowFloat
{
    internal const uint SingleSign = 0x8000_0000;
    internal const uint SingleMagnitude = 0x7FFF_FFFF;
    internal const uint SingleInfinity = 0x7F80_0000;
    internal const uint SingleQuietNaN = 0x7FC0_0000;

    internal static bool IsNaN(uint singleBits) => (singleBits & SingleMagnitude) > SingleInfinity;

    /// <summary>
    /// Rounds a non-negative binary32 (infinity included, NaN not) to the nearest code of a format with this mantissa
    /// width and exponent bias, ties to the even code, and clamps the result to <paramref name="largestCode"/>.
    /// </summary>
    internal static uint RoundMagnitude(uint magnitude, int mantissaBits, int bias, uint largestCode)
    {
        int exponent = (int)(magnitude >> 23) - 127 + bias;
        // Below half of the smallest subnormal, which takes in every subnormal binary32.
        if (exponent < -mantissaBits)
            return 0;

        uint significand = (magnitude & 0x007F_FFFF) | 0x0080_0000;
        int dropped = 23 - mantissaBits + Math.Max(0, 1 - exponent);
        uint kept = significand >> dropped;
        uint remainder = significand & ((1u << dropped) - 1);
        uint half = 1u << (dropped - 1);
        if (remainder > half || (remainder == half && (kept & 1) != 0))
            kept++;

        // The hidden bit of `kept` adds one to the exponent field, and so does a carry out of the mantissa.
        uint code = kept + ((uint)(Math.Max(1, exponent) - 1) << mantissaBits);
        return Math.Min(code, largestCode);
    }

    /// <summary>Widens a finite magnitude (code without sign) to binary32 bits; always exact.</summary>
    internal static uint WidenMagnitude(uint magnitude, int mantissaBits, int bias)
    {
        uint exponent = magnitude >> mantissaBits;
        uint mantissa = magnitude & ((1u << mantissaBits) - 1);
        if (exponent == 0)
        {
            if (mantissa == 0)
                return 0;
            int leading = 31 - System.Numerics.BitOperations.LeadingZeroCount(mantissa);
            uint fraction = (mantissa << (23 - leading)) & 0x007F_FFFF;
            return ((uint)(leading - mantissaBits + 1 - bias + 127) << 23) | fraction;
        }

        return ((exponent + 127 - (uint)bias) << 23) | (mantissa << (23 - mantissaBits));
    }

    internal static uint BFloat16FromSingle(uint bits)
    {
        // A NaN first: the carry of the rounding could turn it into infinity or zero.
        if (IsNaN(bits))
            return (bits >> 16) | 0x0040;
        return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    }

    internal static uint BFloat16ToSingle(uint code) => code << 16;

    /// <summary>IEEE narrowing. A NaN keeps its sign and the upper ten bits of its payload and becomes quiet.</summary>
    internal static uint HalfFromSingle(uint bits)
    {
        uint sign = (bits >> 16) & 0x8000;
        if (IsNaN(bits))
            return sign | 0x7E00 | ((bits >> 13) & 0x03FF);
        return sign | RoundMagnitude(bits & SingleMagnitude, mantissaBits: 10, bias: 15, largestCode: 0x7C00);
    }

    /// <summary>IEEE widening. A NaN keeps its sign and payload and becomes quiet.</summary>
    internal static uint HalfToSingle(uint code)
    {
        uint sign = (code & 0x8000) << 16;
        uint magnitude = code & 0x7FFF;
        if (magnitude > 0x7C00)
            return sign | SingleQuietNaN | ((magnitude & 0x03FF) << 13);
        if (magnitude == 0x7C00)
            return sign | SingleInfinity;
        return sign | WidenMagnitude(magnitude, mantissaBits: 10, bias: 15);
    }

    internal static uint Fp8E4M3FromSingle(uint bits)
    {
        uint sign = (bits >> 24) & 0x80;
        if (IsNaN(bits))
            return sign | 0x7F;
        return sign | RoundMagnitude(bits & SingleMagnitude, mantissaBits: 3, bias: 7, largestCode: 0x7E);
    }

    internal static uint Fp8E4M3ToSingle(uint code)
    {
        uint sign = (code & 0x80) << 24;
        uint magnitude = code & 0x7F;
        return sign | (magnitude == 0x7F ? SingleQuietNaN : WidenMagnitude(magnitude, mantissaBits: 3, bias: 7));
    }

    internal static uint Fp8E5M2FromSingle(uint bits)
    {
        uint sign = (bits >> 24) & 0x80;
        if (IsNaN(bits))
            return sign | 0x7E;
        return sign | RoundMagnitude(bits & SingleMagnitude, mantissaBits: 2, bias: 15, largestCode: 0x7B);
    }

    // E5M2 is the upper byte of a binary16, its infinities and NaNs included.
    internal static uint Fp8E5M2ToSingle(uint code) => HalfToSingle(code << 8);
}
