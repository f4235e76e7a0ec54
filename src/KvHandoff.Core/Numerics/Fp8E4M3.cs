using System.Globalization;

namespace KvHandoff.Numerics;

/// <summary>
/// An 8-bit number in the E4M3 format of the OCP 8-bit Floating Point Specification (OFP8) 1.0, often called E4M3FN.
/// </summary>
/// <remarks>
/// 1 sign, 4 exponent (bias 7) and 3 mantissa bits. Largest value 448 (0x7E), smallest normal 2^-6, smallest subnormal 2^-9;
/// no infinity; 0x7F and 0xFF are the only NaNs.
/// Equality compares bits: two NaNs of the same bits are equal, +0 and -0 are not. Immutable and thread-safe.
/// </remarks>
public readonly struct Fp8E4M3 : IEquatable<Fp8E4M3>
{
    /// <summary>The encoded number.</summary>
    public readonly byte Bits;

    Fp8E4M3(byte bits) => Bits = bits;

    /// <summary>Wraps a code; every code is valid.</summary>
    public static Fp8E4M3 FromBits(byte bits) => new(bits);

    /// <summary>Rounds to nearest, ties to even, and saturates: beyond the range, infinity included, gives +-448. NaN gives 0x7F or 0xFF.</summary>
    public static explicit operator Fp8E4M3(float value) =>
        new((byte)NarrowFloat.Fp8E4M3FromSingle(BitConverter.SingleToUInt32Bits(value)));

    /// <summary>Exact; a NaN code gives the quiet NaN 0x7FC00000 with its sign.</summary>
    public static explicit operator float(Fp8E4M3 value) =>
        BitConverter.UInt32BitsToSingle(NarrowFloat.Fp8E4M3ToSingle(value.Bits));

    /// <summary>Whether the bits are equal.</summary>
    public static bool operator ==(Fp8E4M3 left, Fp8E4M3 right) => left.Bits == right.Bits;

    /// <summary>Whether the bits differ.</summary>
    public static bool operator !=(Fp8E4M3 left, Fp8E4M3 right) => left.Bits != right.Bits;

    /// <inheritdoc/>
    public bool Equals(Fp8E4M3 other) => Bits == other.Bits;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Fp8E4M3 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bits;

    /// <summary>The value in the invariant culture.</summary>
    public override string ToString() => ((float)this).ToString(CultureInfo.InvariantCulture);
}
