namespace KvHandoff.Numerics;

/// <summary>
/// One 8-bit code format as the packing loops see it; a new format is one more implementation. The scalar pair is the
/// definition, the vector operations give the same bits.
/// </summary>
/// <remarks>Vectors hold neighbours in pairs, as <see cref="IRowElement"/> says.</remarks>
interface IPackedCode
{
    /// <summary>The largest finite value.</summary>
    static abstract float LargestCode { get; }

    /// <summary>Mantissa bits; zero for a format that is no floating-point one.</summary>
    static abstract int MantissaBits { get; }

    /// <summary>The smallest subnormal value; 1 for an integer format.</summary>
    static abstract float SmallestSubnormal { get; }

    /// <summary>The smallest magnitude of a code that is not a finite number.</summary>
    static abstract uint FirstSpecial { get; }

    /// <summary>The power of two that <see cref="Fp8Anchors"/> adjusts inverses by; zero for a format without anchors.</summary>
    static abstract float AnchorAdjustment { get; }

    /// <summary>The biased exponent of the anchor of a product of 1, adjusted.</summary>
    static abstract uint AnchorOfOne { get; }

    /// <summary>The code, saturating, of a binary32, both as bits.</summary>
    static abstract uint EncodeOne(uint single);

    /// <summary>The binary32 of a code, both as bits.</summary>
    static abstract uint DecodeOne(uint code);

    /// <summary>The codes of one group times an inverse scale, in order, each in the low byte of a 16-bit lane with zeros above.</summary>
    static abstract TVector Encode<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>
    /// Packs two groups of finite elements that exceed the largest code, if at all, by less than half a step.
    /// </summary>
    static abstract void PackFinite<TElement, TWidth, TVector>(
        ref byte source,
        nuint offsetBytes,
        PackFactors<TVector> first,
        PackFactors<TVector> second,
        ref byte codes,
        nuint at)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>
    /// A power of two, for the loops to multiply scales by, that makes up for what <see cref="Decode"/> multiplies numbers by.
    /// </summary>
    static abstract float DecodedUnit { get; }

    /// <summary>The binary32 of one group of codes over <see cref="DecodedUnit"/>. The low 16 bits of a NaN are zero.</summary>
    static abstract void Decode<TWidth, TVector>(ref byte codes, nuint at, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;
}

/// <summary>What a group is multiplied by when it is packed, and the offsets of <see cref="Fp8Anchors"/> where they are used.</summary>
readonly struct PackFactors<TVector>(TVector even, TVector odd, TVector offsets)
    where TVector : struct
{
    internal readonly TVector Even = even;
    internal readonly TVector Odd = odd;
    internal readonly TVector Offsets = offsets;
}
