namespace KvHandoff.Numerics;

/// <summary>
/// How the packing loops read and write rows of one element type; a new type is one more implementation. The scalar pair is
/// the definition, the vector operations give the same bits.
/// </summary>
interface IRowOperator<T>
    where T : unmanaged
{
    /// <summary>Bytes of one element, 2 or 4.</summary>
    static abstract int SizeBytes { get; }

    static abstract uint SingleBits(T value);

    static abstract T FromSingleBits(uint bits);

    /// <summary>Lane by lane, the larger of the running magnitudes and those of raw elements.</summary>
    static abstract TVector MaxMagnitude<TWidth, TVector>(TVector largest, TVector raw)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>The binary32 bits of the largest of the running magnitudes.</summary>
    static abstract uint LargestBits<TWidth, TVector>(TVector largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Packs as many elements as four vectors have lanes.</summary>
    static abstract void Pack<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>The same for elements known to be finite and an inverse that brings none above 448 by more than rounding.</summary>
    static abstract void PackFinite<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Unpacks, by a finite scale, as many elements as two vectors have lanes.</summary>
    static abstract void Unpack<TWidth, TVector>(ref byte codes, nuint element, TVector scale, ref byte destination)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;
}
