using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

/// <summary>
/// A power of two in the E8M0 format of the OCP Microscaling Formats (MX) specification 1.0: the scale of a group of codes.
/// </summary>
/// <remarks>
/// The value is <c>2^(bits - 127)</c>: 2^-127 for 0x00, 2^127 for 0xFE; 0xFF is the only NaN. There is no zero and no sign.
/// Equality compares bits. Immutable and thread-safe.
/// </remarks>
public readonly struct E8M0 : IEquatable<E8M0>
{
    const int Bias = 127;
    const int LargestBits = 0xFE;

    /// <summary>The encoded number.</summary>
    public readonly byte Bits;

    E8M0(byte bits) => Bits = bits;

    /// <summary>Wraps a code; every code is valid.</summary>
    public static E8M0 FromBits(byte bits) => new(bits);

    /// <summary>
    /// The scale of a group of codes whose largest finite magnitude is this, limited to 2^-127 ... 2^127; 2^-127 for zero. It is
    /// derived from the bits: no rounding of a floating-point operation takes part.
    /// </summary>
    /// <param name="amax">The magnitude; its sign is not looked at. An infinity or NaN gives NaN.</param>
    /// <param name="code"><see cref="ElementType.Fp8E4M3"/> or <see cref="ElementType.Fp8E5M2"/>.</param>
    /// <param name="rule">Whether the largest magnitude may saturate.</param>
    /// <exception cref="ArgumentOutOfRangeException">The code format is not an MX one, or the rule is unknown.</exception>
    public static E8M0 FromAmax(float amax, ElementType code, MxRule rule)
    {
        uint largestCode = BitConverter.SingleToUInt32Bits(code switch
        {
            ElementType.Fp8E4M3 => Fp8E4M3Code.LargestCode,
            ElementType.Fp8E5M2 => Fp8E5M2Code.LargestCode,
            _ => throw new ArgumentOutOfRangeException(
                nameof(code), code, $"Element type {(byte)code} is no MX code; allowed are 4 (fp8-e4m3) and 5 (fp8-e5m2)."),
        });
        if (rule is not (MxRule.Ceiling or MxRule.Floor))
            throw new ArgumentOutOfRangeException(nameof(rule), rule, $"MX rule {(byte)rule} is neither 0 (ceiling) nor 1 (floor).");

        uint magnitude = BitConverter.SingleToUInt32Bits(amax) & NarrowFloat.SingleMagnitude;
        if (magnitude >= NarrowFloat.SingleInfinity)
            return new(0xFF);
        if (magnitude == 0)
            return new(0);

        int exponent = (int)(magnitude >> 23);
        uint fraction = magnitude & 0x007F_FFFF;
        if (exponent == 0)
        {
            // A subnormal: shift its leading one to where the hidden bit is.
            int shift = BitOperations.LeadingZeroCount(fraction) - 8;
            exponent = 1 - shift;
            fraction = (fraction << shift) & 0x007F_FFFF;
        }

        int scale = exponent - (int)(largestCode >> 23) + Bias;
        if (rule == MxRule.Ceiling && fraction > (largestCode & 0x007F_FFFF))
            scale++;
        return new((byte)Math.Clamp(scale, 0, LargestBits));
    }

    /// <summary>
    /// <see cref="FromAmax"/> for a code and a rule that were checked, once for each group of a tensor: one branch, for zeros, subnormals and what is not finite.
    /// </summary>
    /// <param name="magnitude">Bits of the magnitude.</param>
    /// <param name="largestCode">Bits of the code's largest number.</param>
    /// <param name="code">The code.</param>
    /// <param name="rule">The rule.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static E8M0 FromMagnitude(uint magnitude, uint largestCode, ElementType code, MxRule rule)
    {
        uint exponent = magnitude >> 23;
        if (exponent - 1 >= 0xFE)
            return FromAmax(BitConverter.UInt32BitsToSingle(magnitude), code, rule);
        // One more where the fraction is above that of the largest code: the carry of a subtraction.
        uint above = ((largestCode & 0x007F_FFFF) - (magnitude & 0x007F_FFFF)) >> 31;
        int scale = (int)(exponent - (largestCode >> 23)) + Bias + (rule == MxRule.Ceiling ? (int)above : 0);
        return new((byte)Math.Clamp(scale, 0, LargestBits));
    }

    /// <summary>Exact; 0x00 is the subnormal 2^-127, 0xFF the quiet NaN 0x7FC00000.</summary>
    public static explicit operator float(E8M0 value) => BitConverter.UInt32BitsToSingle(value.Bits switch
    {
        0 => 0x0040_0000u,
        0xFF => NarrowFloat.SingleQuietNaN,
        _ => (uint)value.Bits << 23,
    });

    /// <summary>
    /// One over the value, exact: 2^(127 - bits). The inverse of 2^127 is the subnormal 2^-127; NaN stays NaN.
    /// </summary>
    internal float Inverse => Bits == 0xFF ? float.NaN : (float)new E8M0((byte)(LargestBits - Bits));

    /// <summary>Whether the bits are equal.</summary>
    public static bool operator ==(E8M0 left, E8M0 right) => left.Bits == right.Bits;

    /// <summary>Whether the bits differ.</summary>
    public static bool operator !=(E8M0 left, E8M0 right) => left.Bits != right.Bits;

    /// <inheritdoc/>
    public bool Equals(E8M0 other) => Bits == other.Bits;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is E8M0 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bits;

    /// <summary>The value in the invariant culture.</summary>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
