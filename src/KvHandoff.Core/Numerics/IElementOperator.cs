namespace KvHandoff.Numerics;

/// <summary>
/// One narrow format as the conversion loops see it. The scalar pair is the definition; the vector pair gives the same bits.
/// A new format is one more implementation.
/// </summary>
interface IElementOperator
{
    /// <summary>1 or 2.</summary>
    static abstract int SizeBytes { get; }

    /// <summary>The code of a binary32, both as bits.</summary>
    static abstract uint EncodeOne(uint single);

    /// <summary>The binary32 of a code, both as bits.</summary>
    static abstract uint DecodeOne(uint code);

    /// <summary>The codes, one a lane with zeros above, of a vector of binary32.</summary>
    static abstract TVector Encode<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>The binary32 of codes, one a lane with zeros above.</summary>
    static abstract TVector Decode<TWidth, TVector>(TVector codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;
}
