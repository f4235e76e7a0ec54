namespace KvHandoff.Numerics;

/// <summary>
/// How the packing loops read and write one element type of a cache; a new type is one more implementation. The scalar pair is
/// the definition, the vector operations give the same bits.
/// </summary>
/// <remarks>
/// Vectors hold neighbours in pairs: lane i of <c>even</c> is element 2i, lane i of <c>odd</c> element 2i + 1. Two such vectors are
/// one group, of twice as many elements as a vector has 32-bit lanes.
/// </remarks>
interface IRowElement
{
    /// <summary>Bytes of one element, 2 or 4.</summary>
    static abstract int SizeBytes { get; }

    /// <summary>The binary32 bits of an element.</summary>
    static abstract uint Widen(uint element);

    /// <summary>The element nearest to binary32 bits.</summary>
    static abstract uint Narrow(uint single);

    /// <summary>Lane by lane, the larger of the running magnitudes and those of raw elements.</summary>
    static abstract TVector MaxMagnitude<TWidth, TVector>(TVector largest, TVector raw)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>The binary32 bits of the largest of the running magnitudes.</summary>
    static abstract uint LargestBits<TWidth, TVector>(TVector largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Loads one group as binary32.</summary>
    static abstract void LoadPairs<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>
    /// Loads the magnitudes of one group as binary32 and returns its signs in the upper bit of each 16-bit lane, the other bits
    /// left over.
    /// </summary>
    static abstract TVector LoadMagnitudes<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Rounds one group of binary32 and stores it. The low 16 bits of a NaN must be zero.</summary>
    static abstract void StorePairs<TWidth, TVector>(TVector even, TVector odd, ref byte destination, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;
}
