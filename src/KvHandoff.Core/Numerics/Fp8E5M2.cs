using System.Globalization;

namespace KvHandoff.Numerics;

/// <summary>
/// An 8-bit number in the E5M2 format of the OCP 8-bit Floating Point Specification (OFP8) 1.0: the upper byte of a binary16.
/// </summary>
/// <remarks>
/// 1 sign, 5 exponent (bias 15) and 2 mantissa bits. Largest finite value 57344 (0x7B), smallest normal 2^-14, smallest
/// subnormal 2^-16; 0x7C is infinity; 0x7D to 0x7F are NaNs.
/// Equality compares bits: two NaNs of the same bits are equal, +0 and -0 are not. Immutable and thread-safe.
/// </remarks>
public readonly struct Fp8E5M2 : IEquatable<Fp8E5M2>
{
    /// <summary>The encoded number.</summary>
    public readonly byte Bits;

    Fp8E5M2(byte bits) => Bits = bits;

    /// <summary>Wraps a code; every code is valid.</summary>
    public static Fp8E5M2 FromBits(byte bits) => new(bits);

    /// <summary>Rounds to nearest, ties to even, and saturates: beyond the range, infinity included, gives +-57344. NaN gives 0x7E or 0xFE.</summary>
    public static explicit operator Fp8E5M2(float value) =>
        new((byte)NarrowFloat.Fp8E5M2FromSingle(BitConverter.SingleToUInt32Bits(value)));

    /// <summary>Exact; an infinity code gives infinity, a NaN code a quiet NaN with its sign and payload.</summary>
    public static explicit operator float(Fp8E5M2 value) =>
        BitConverter.UInt32BitsToSingle(NarrowFloat.Fp8E5M2ToSingle(value.Bits));

    /// <summary>Whether the bits are equal.</summary>
    public static bool operator ==(Fp8E5M2 left, Fp8E5M2 right) => left.Bits == right.Bits;

    /// <summary>Whether the bits differ.</summary>
    public static bool operator !=(Fp8E5M2 left, Fp8E5M2 right) => left.Bits != right.Bits;

    /// <inheritdoc/>
    public bool Equals(Fp8E5M2 other) => Bits == other.Bits;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Fp8E5M2 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bits;

    /// <summary>The value in the invariant culture.</summary>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
