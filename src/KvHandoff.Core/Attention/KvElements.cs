using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>One format of the stored rows as the attention loops see it. A new element type is one more implementation.</summary>
interface IKvElement
{
    /// <summary>Bytes of one element.</summary>
    static abstract int SizeBytes { get; }

    /// <summary>
    /// Whether widening costs so much that rows shared by several head tiles are widened into scratch once, instead of in
    /// registers by each tile.
    /// </summary>
    static abstract bool WidensIntoScratch { get; }

    /// <summary>Widens whole rows; exact.</summary>
    static abstract void Widen(ReadOnlySpan<byte> rows, Span<float> singles);

    /// <summary>Whether a pair of vectors is loaded as its even and its odd elements; else the one half follows the other.</summary>
    static abstract bool LoadsEvenFirst { get; }

    /// <summary>Of two vectors' worth of elements the first half, or those of even index, widened to binary32.</summary>
    static abstract TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Of two vectors' worth of elements the second half, or those of odd index, widened to binary32.</summary>
    static abstract TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;

    /// <summary>Loads one vector of elements and widens it to binary32.</summary>
    static abstract TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct;
}

readonly struct Float32Element : IKvElement
{
    public static int SizeBytes => 4;

    public static bool WidensIntoScratch => false;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles) => MemoryMarshal.Cast<byte, float>(rows).CopyTo(singles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.Load32(ref source, offsetBytes);

    public static bool LoadsEvenFirst => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes + (nuint)(TWidth.Lanes * SizeBytes));
}

readonly struct BFloat16Element : IKvElement
{
    public static int SizeBytes => 2;

    // A shift or a mask runs beside the multiplications.
    public static bool WidensIntoScratch => false;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles) =>
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(rows), singles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        BFloat16Operator.Decode<TWidth, TVector>(TWidth.Load16(ref source, offsetBytes));

    public static bool LoadsEvenFirst => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.ShiftLeft(TWidth.Load32(ref source, offsetBytes), 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.And(TWidth.Load32(ref source, offsetBytes), TWidth.Create(0xFFFF_0000));
}

readonly struct HalfElement : IKvElement
{
    public static int SizeBytes => 2;

    public static bool WidensIntoScratch => true;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles) =>
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Half>(rows), singles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        HalfOperator.Decode<TWidth, TVector>(TWidth.Load16(ref source, offsetBytes));

    public static bool LoadsEvenFirst => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        HalfOperator.Decode<TWidth, TVector>(TWidth.And(TWidth.Load32(ref source, offsetBytes), TWidth.Create(0xFFFF)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        HalfOperator.Decode<TWidth, TVector>(TWidth.ShiftRight(TWidth.Load32(ref source, offsetBytes), 16));
}

readonly struct Fp8E4M3Element : IKvElement
{
    public static int SizeBytes => 1;

    public static bool WidensIntoScratch => true;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles) =>
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Fp8E4M3>(rows), singles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // Sign, exponent and mantissa in place, the sign's copies between them masked; the exponent's bias is multiplied in, which is
        // exact, for subnormal codes too.
        TVector code = TWidth.Load8(ref source, offsetBytes);
        TVector bits = TWidth.And(TWidth.ShiftRightSigned(TWidth.ShiftLeft(code, 24), 4), TWidth.Create(0x87F0_0000));
        TVector value = TWidth.MultiplySingle(bits, TWidth.Create(247u << 23));
        return TWidth.Or(value, TWidth.GreaterThan(TWidth.And(code, TWidth.Create(0x7F)), TWidth.Create(0x7E)));
    }

    public static bool LoadsEvenFirst => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes + (nuint)(TWidth.Lanes * SizeBytes));
}

readonly struct Fp8E5M2Element : IKvElement
{
    public static int SizeBytes => 1;

    public static bool WidensIntoScratch => true;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles) =>
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Fp8E5M2>(rows), singles);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Fp8E5M2Operator.Decode<TWidth, TVector>(TWidth.Load8(ref source, offsetBytes));

    public static bool LoadsEvenFirst => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes + (nuint)(TWidth.Lanes * SizeBytes));
}

/// <summary>Codes as whole numbers; what they stand for comes with their scales.</summary>
readonly struct Int8Element : IKvElement
{
    public static int SizeBytes => 1;

    public static bool WidensIntoScratch => true;

    public static void Widen(ReadOnlySpan<byte> rows, Span<float> singles)
    {
        for (int i = 0; i < rows.Length; i++) singles[i] = (sbyte)rows[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.ToSingle(TWidth.ShiftRightSigned(TWidth.ShiftLeft(TWidth.Load8(ref source, offsetBytes), 24), 24));

    public static bool LoadsEvenFirst => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadFirst<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadSecond<TWidth, TVector>(ref byte source, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Load<TWidth, TVector>(ref source, offsetBytes + (nuint)(TWidth.Lanes * SizeBytes));
}
