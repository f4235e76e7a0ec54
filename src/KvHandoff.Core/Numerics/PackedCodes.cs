using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

readonly struct Fp8E4M3Code : IPackedCode
{
    public static float LargestCode => 448f;

    public static int MantissaBits => 3;

    public static float SmallestSubnormal => 1f / 512;

    public static uint FirstSpecial => 0x7F;

    public static float DecodedUnit => 1f;

    public static float AnchorAdjustment => 8f;

    public static uint AnchorOfOne => 127 + 20 + 3;

    public static uint EncodeOne(uint single) => NarrowFloat.Fp8E4M3FromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.Fp8E4M3ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowPairs.Encode<TElement, Fp8E4M3Operator, TWidth, TVector>(ref source, offsetBytes, inverseEven, inverseOdd);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackFinite<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, PackFactors<TVector> first, PackFactors<TVector> second, ref byte codes, nuint at)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowPairs.PackFinite<TElement, TWidth, TVector>(
            ref source, offsetBytes, first, second, ref codes, at, mantissaBits: 3, bias: 7, lowestAnchor: 144);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode<TWidth, TVector>(ref byte codes, nuint at, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load16(ref codes, at);
        even = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.And(pairs, TWidth.Create(0xFF)));
        odd = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.ShiftRight(pairs, 8));
    }
}

readonly struct Fp8E5M2Code : IPackedCode
{
    public static float LargestCode => 57344f;

    public static int MantissaBits => 2;

    public static float SmallestSubnormal => 1f / 65536;

    public static uint FirstSpecial => 0x7C;

    public static float DecodedUnit => 1f;

    public static float AnchorAdjustment => 1f / 64;

    public static uint AnchorOfOne => 127 + 21 - 6;

    public static uint EncodeOne(uint single) => NarrowFloat.Fp8E5M2FromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.Fp8E5M2ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowPairs.Encode<TElement, Fp8E5M2Operator, TWidth, TVector>(ref source, offsetBytes, inverseEven, inverseOdd);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackFinite<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, PackFactors<TVector> first, PackFactors<TVector> second, ref byte codes, nuint at)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowPairs.PackFinite<TElement, TWidth, TVector>(
            ref source, offsetBytes, first, second, ref codes, at, mantissaBits: 2, bias: 15, lowestAnchor: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode<TWidth, TVector>(ref byte codes, nuint at, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load16(ref codes, at);
        even = Fp8E5M2Operator.Decode<TWidth, TVector>(TWidth.And(pairs, TWidth.Create(0xFF)));
        odd = Fp8E5M2Operator.Decode<TWidth, TVector>(TWidth.ShiftRight(pairs, 8));
    }
}

readonly struct Int8Code : IPackedCode
{
    // 1.5 * 2^23: added, it leaves the integer nearest to a small number, ties to even, in the low bits of the sum.
    const uint RoundingAnchor = 0x4B40_0000;

    public static float LargestCode => 127f;

    public static int MantissaBits => 0;

    public static float SmallestSubnormal => 1f;

    public static uint FirstSpecial => 0x80;

    public static float DecodedUnit => 1f / 65536;

    public static float AnchorAdjustment => 0f;

    public static uint AnchorOfOne => 0;

    public static uint EncodeOne(uint single)
    {
        if (NarrowFloat.IsNaN(single))
            return 0;
        float value = Math.Clamp(BitConverter.UInt32BitsToSingle(single), -LargestCode, LargestCode);
        return (byte)(sbyte)MathF.Round(value, MidpointRounding.ToEven);
    }

    public static uint DecodeOne(uint code) => BitConverter.SingleToUInt32Bits((sbyte)code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TElement.LoadPairs<TWidth, TVector>(ref source, offsetBytes, out TVector even, out TVector odd);
        TVector codes = Join<TWidth, TVector>(
            Saturate<TWidth, TVector>(TWidth.MultiplySingle(even, inverseEven)),
            Saturate<TWidth, TVector>(TWidth.MultiplySingle(odd, inverseOdd)));
        return TWidth.And(codes, TWidth.Create(0x00FF_00FF));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Saturate<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = TWidth.And(singles, TWidth.Create(NarrowFloat.SingleMagnitude));
        TVector number = TWidth.GreaterThan(TWidth.Create(NarrowFloat.SingleInfinity + 1), magnitude);
        TVector limited = TWidth.Min(magnitude, TWidth.Create(BitConverter.SingleToUInt32Bits(LargestCode)));
        TVector sign = TWidth.And(singles, TWidth.Create(NarrowFloat.SingleSign));
        return TWidth.And(TWidth.Or(limited, sign), number);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackFinite<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, PackFactors<TVector> first, PackFactors<TVector> second, ref byte codes, nuint at)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint next = offsetBytes + ((nuint)TWidth.Lanes * 2 * (nuint)TElement.SizeBytes);
        TElement.LoadPairs<TWidth, TVector>(ref source, offsetBytes, out TVector even, out TVector odd);
        TElement.LoadPairs<TWidth, TVector>(ref source, next, out TVector nextEven, out TVector nextOdd);
        TWidth.StoreSignedBytes(
            Join<TWidth, TVector>(TWidth.MultiplySingle(even, first.Even), TWidth.MultiplySingle(odd, first.Odd)),
            Join<TWidth, TVector>(TWidth.MultiplySingle(nextEven, second.Even), TWidth.MultiplySingle(nextOdd, second.Odd)),
            ref codes,
            at);
    }

    /// <summary>Nearest integers in 16-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Join<TWidth, TVector>(TVector even, TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        even = TWidth.AddSingle(even, TWidth.Create(RoundingAnchor));
        odd = TWidth.AddSingle(odd, TWidth.Create(RoundingAnchor));
        return TWidth.JoinHalves(even, TWidth.ShiftLeft(odd, 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode<TWidth, TVector>(ref byte codes, nuint at, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // Left in the upper halves of the lanes, both kinds of neighbours take one operation less.
        TVector pairs = TWidth.LoadSigned8(ref codes, at);
        even = TWidth.ToSingle(TWidth.ShiftLeft(pairs, 16));
        odd = TWidth.ToSingle(TWidth.And(pairs, TWidth.Create(0xFFFF_0000)));
    }
}
