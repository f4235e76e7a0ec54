using System.Globalization;

namespace KvHandoff.Numerics;

/// <summary>
/// A 16-bit number with the exponent of binary32 and eight bits of precision: the upper half of a binary32.
/// </summary>
/// <remarks>
/// 1 sign, 8 exponent (bias 127) and 7 mantissa bits; largest finite value about 3.39e38, smallest subnormal 2^-133.
/// Equality compares bits: two NaNs of the same bits are equal, +0 and -0 are not. Immutable and thread-safe.
/// </remarks>
public readonly struct BFloat16 : IEquatable<BFloat16>
{
    /// <summary>The encoded number.</summary>
    public readonly ushort Bits;

    BFloat16(ushort bits) => Bits = bits;

    /// <summary>Wraps a code; every code is valid.</summary>
    public static BFloat16 FromBits(ushort bits) => new(bits);

    /// <summary>Rounds to nearest, ties to even; overflow gives infinity; a NaN keeps its sign and upper payload and becomes quiet.</summary>
    public static explicit operator BFloat16(float value) =>
        new((ushort)NarrowFloat.BFloat16FromSingle(BitConverter.SingleToUInt32Bits(value)));

    /// <summary>Exact; a NaN keeps its bits.</summary>
    public static implicit operator float(BFloat16 value) =>
        BitConverter.UInt32BitsToSingle(NarrowFloat.BFloat16ToSingle(value.Bits));

    /// <summary>Whether the bits are equal.</summary>
    public static bool operator ==(BFloat16 left, BFloat16 right) => left.Bits == right.Bits;

    /// <summary>Whether the bits differ.</summary>
    public static bool operator !=(BFloat16 left, BFloat16 right) => left.Bits != right.Bits;

    /// <inheritdoc/>
    public bool Equals(BFloat16 other) => Bits == other.Bits;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is BFloat16 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bits;

    /// <summary>The value in the invariant culture.</summary>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
