namespace KvHandoff.Numerics;

/// <summary>
/// The vector operations that kernels are written in, on 32-bit lanes, so that a loop exists once for every width.
/// A vector is always handed around as its raw bits; operations named <c>...Single</c> read the lanes as binary32.
/// </summary>
/// <typeparam name="TVector"><c>Vector128</c>, <c>Vector256</c> or <c>Vector512</c> of <see cref="uint"/>.</typeparam>
interface ISimdWidth<TVector>
    where TVector : struct
{
    /// <summary>32-bit lanes of one vector.</summary>
    static abstract int Lanes { get; }

    static abstract TVector Create(uint value);

    static abstract TVector And(TVector left, TVector right);

    static abstract TVector Or(TVector left, TVector right);

    static abstract TVector Add(TVector left, TVector right);

    static abstract TVector Subtract(TVector left, TVector right);

    /// <summary>Unsigned minimum.</summary>
    static abstract TVector Min(TVector left, TVector right);

    /// <summary>Unsigned maximum.</summary>
    static abstract TVector Max(TVector left, TVector right);

    /// <summary>Unsigned maximum of 16-bit lanes.</summary>
    static abstract TVector MaxUInt16(TVector left, TVector right);

    /// <summary>Signed maximum of 16-bit lanes.</summary>
    static abstract TVector MaxInt16(TVector left, TVector right);

    /// <summary>Sum of 16-bit lanes, wrapping.</summary>
    static abstract TVector AddInt16(TVector left, TVector right);

    /// <summary>Sum of 16-bit lanes, clamped to their signed range.</summary>
    static abstract TVector AddSaturateInt16(TVector left, TVector right);

    /// <summary>Difference of 16-bit lanes, wrapping.</summary>
    static abstract TVector SubtractInt16(TVector left, TVector right);

    /// <summary>All ones in 16-bit lanes where <paramref name="left"/> is greater, signed.</summary>
    static abstract TVector GreaterThanInt16(TVector left, TVector right);

    /// <summary>Shifts 16-bit lanes.</summary>
    static abstract TVector ShiftLeft16(TVector value, int count);

    /// <summary>Shifts zeros into 16-bit lanes.</summary>
    static abstract TVector ShiftRight16(TVector value, int count);

    /// <summary>
    /// In each 128-bit part, the bytes of the table's part that the low four bits of each index name; the upper bit of an index
    /// must be clear.
    /// </summary>
    static abstract TVector LookUpBytes(TVector table, TVector indices);

    /// <summary>Whether every bit of both is clear together.</summary>
    static abstract bool NoCommonBits(TVector left, TVector right);

    static abstract TVector ShiftLeft(TVector value, int count);

    /// <summary>Shifts zeros in.</summary>
    static abstract TVector ShiftRight(TVector value, int count);

    /// <summary>Shifts copies of the upper bit in.</summary>
    static abstract TVector ShiftRightSigned(TVector value, int count);

    /// <summary>All ones where <paramref name="left"/> is greater; both sides must be below 2^31.</summary>
    static abstract TVector GreaterThan(TVector left, TVector right);

    /// <summary>Takes <paramref name="whenSet"/> where the mask is all ones, <paramref name="otherwise"/> where it is zero.</summary>
    static abstract TVector Select(TVector mask, TVector whenSet, TVector otherwise);

    static abstract TVector AddSingle(TVector left, TVector right);

    static abstract TVector SubtractSingle(TVector left, TVector right);

    static abstract TVector MultiplySingle(TVector left, TVector right);

    static abstract TVector DivideSingle(TVector left, TVector right);

    /// <summary>The binary32 nearest to signed integers.</summary>
    static abstract TVector ToSingle(TVector integers);

    /// <summary>Sorts the lanes of two vectors, laid end to end, into those of even and those of odd index.</summary>
    static abstract void Unzip(TVector first, TVector second, out TVector even, out TVector odd);

    /// <summary>The inverse of <see cref="Unzip"/>.</summary>
    static abstract void Zip(TVector even, TVector odd, out TVector first, out TVector second);

    /// <summary>In every lane the low 16 bits of one vector and the high 16 bits of the other.</summary>
    static abstract TVector JoinHalves(TVector low, TVector high);

    /// <summary>The largest 32-bit lane, unsigned.</summary>
    static abstract uint LargestUInt32(TVector value);

    /// <summary>The largest 16-bit lane, unsigned.</summary>
    static abstract uint LargestUInt16(TVector value);

    /// <summary>
    /// Asks for the cache lines of two vectors; the place may lie outside what is allocated, where nothing happens.
    /// </summary>
    static abstract void Prefetch(ref byte source, nuint offsetBytes);

    /// <summary>Loads full lanes.</summary>
    static abstract TVector Load32(ref byte source, nuint offsetBytes);

    /// <summary>Loads one 16-bit number a lane, zero-extended.</summary>
    static abstract TVector Load16(ref byte source, nuint offsetBytes);

    /// <summary>Loads one byte a lane, zero-extended.</summary>
    static abstract TVector Load8(ref byte source, nuint offsetBytes);

    static abstract void Store32(TVector value, ref byte destination, nuint offsetBytes);

    /// <summary>Stores the lanes of two vectors, each below 2^16, as 16-bit numbers.</summary>
    static abstract void Store16(TVector first, TVector second, ref byte destination, nuint offsetBytes);

    /// <summary>Stores the lanes of four vectors, each below 2^8, as bytes.</summary>
    static abstract void Store8(TVector first, TVector second, TVector third, TVector fourth, ref byte destination, nuint offsetBytes);

    /// <summary>Stores the 16-bit lanes of two vectors, signed numbers that fit, as bytes.</summary>
    static abstract void StoreSignedBytes(TVector first, TVector second, ref byte destination, nuint offsetBytes);

    /// <summary>
    /// Stores the 16-bit lanes of two vectors, each below 2^7, as bytes whose upper bit is that of the 16-bit lanes of two others.
    /// </summary>
    static abstract void StoreBytesWithSigns(
        TVector first, TVector second, TVector firstSigns, TVector secondSigns, ref byte destination, nuint offsetBytes);

    /// <summary>
    /// Loads one byte a 16-bit lane, doubled: into both halves of the lane. Two vectors for as many bytes as a vector has.
    /// </summary>
    static abstract void LoadDoubled(ref byte source, nuint offsetBytes, out TVector first, out TVector second);

    /// <summary>Loads one byte a 16-bit lane, sign-extended.</summary>
    static abstract TVector LoadSigned8(ref byte source, nuint offsetBytes);

    /// <summary>Loads 16 bytes into every 128-bit part.</summary>
    static abstract TVector LoadRepeated(ref byte source, nuint offsetBytes);

    /// <summary>Stores the 16-bit lanes of two vectors, each below 2^8, as bytes.</summary>
    static abstract void StoreBytes(TVector first, TVector second, ref byte destination, nuint offsetBytes);
}
