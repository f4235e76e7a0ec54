using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

readonly struct BFloat16Rows : IRowOperator<BFloat16>
{
    public static int SizeBytes => 2;

    public static uint SingleBits(BFloat16 value) => NarrowFloat.BFloat16ToSingle(value.Bits);

    public static BFloat16 FromSingleBits(uint bits) => BFloat16.FromBits((ushort)NarrowFloat.BFloat16FromSingle(bits));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MaxMagnitude<TWidth, TVector>(TVector largest, TVector raw)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.MaxUInt16(largest, TWidth.And(raw, TWidth.Create(0x7FFF_7FFF)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestBits<TWidth, TVector>(TVector largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.LargestUInt16(largest) << 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pack<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector first = PackPairs<TWidth, TVector>(TWidth.Load32(ref source, element * 2), inverse);
        TVector second = PackPairs<TWidth, TVector>(TWidth.Load32(ref source, (element + (2 * (nuint)TWidth.Lanes)) * 2), inverse);
        TWidth.Store16(first, second, ref codes, element);
    }

    // A lane holds two neighbours. Widened in place, their codes meet again in order without a shuffle.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector PackPairs<TWidth, TVector>(TVector pairs, TVector inverse)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector even = TWidth.MultiplySingle(TWidth.ShiftLeft(pairs, 16), inverse);
        TVector odd = TWidth.MultiplySingle(TWidth.And(pairs, TWidth.Create(0xFFFF_0000)), inverse);
        return TWidth.Or(
            Fp8E4M3Operator.Encode<TWidth, TVector>(even),
            TWidth.ShiftLeft(Fp8E4M3Operator.Encode<TWidth, TVector>(odd), 8));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackFinite<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector first = PackFinitePairs<TWidth, TVector>(TWidth.Load32(ref source, element * 2), inverse);
        TVector second = PackFinitePairs<TWidth, TVector>(
            TWidth.Load32(ref source, (element + (2 * (nuint)TWidth.Lanes)) * 2), inverse);
        TWidth.StoreBytes(first, second, ref codes, element);
    }

    // Signs stay out of the arithmetic: they are taken off and put back for two elements at a time.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector PackFinitePairs<TWidth, TVector>(TVector pairs, TVector inverse)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitudes = TWidth.And(pairs, TWidth.Create(0x7FFF_7FFF));
        TVector even = Fp8E4M3Operator.EncodeNonNegative<TWidth, TVector>(
            TWidth.MultiplySingle(TWidth.ShiftLeft(magnitudes, 16), inverse));
        TVector odd = Fp8E4M3Operator.EncodeNonNegative<TWidth, TVector>(
            TWidth.MultiplySingle(TWidth.And(magnitudes, TWidth.Create(0xFFFF_0000)), inverse));
        TVector codes = TWidth.And(TWidth.JoinHalves(even, TWidth.ShiftLeft(odd, 16)), TWidth.Create(0x007F_007F));
        return TWidth.Or(codes, TWidth.And(TWidth.ShiftRight(pairs, 8), TWidth.Create(0x0080_0080)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<TWidth, TVector>(ref byte codes, nuint element, TVector scale, ref byte destination)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load16(ref codes, element);
        TVector even = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.And(pairs, TWidth.Create(0xFF)));
        TVector odd = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.ShiftRight(pairs, 8));
        // The only NaN here is a code's, whose low bits are zero: rounding cannot carry it out of the NaNs.
        even = BFloat16Operator.RoundToUpper<TWidth, TVector>(TWidth.MultiplySingle(even, scale));
        odd = BFloat16Operator.RoundToUpper<TWidth, TVector>(TWidth.MultiplySingle(odd, scale));
        TWidth.Store32(TWidth.JoinHalves(TWidth.ShiftRight(even, 16), odd), ref destination, element * 2);
    }
}

readonly struct SingleRows : IRowOperator<float>
{
    public static int SizeBytes => 4;

    public static uint SingleBits(float value) => BitConverter.SingleToUInt32Bits(value);

    public static float FromSingleBits(uint bits) => BitConverter.UInt32BitsToSingle(bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MaxMagnitude<TWidth, TVector>(TVector largest, TVector raw)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.Max(largest, TWidth.And(raw, TWidth.Create(NarrowFloat.SingleMagnitude)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestBits<TWidth, TVector>(TVector largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.LargestUInt32(largest);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pack<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint lanes = (nuint)TWidth.Lanes;
        TWidth.Store8(
            PackOne<TWidth, TVector>(ref source, element, inverse),
            PackOne<TWidth, TVector>(ref source, element + lanes, inverse),
            PackOne<TWidth, TVector>(ref source, element + (2 * lanes), inverse),
            PackOne<TWidth, TVector>(ref source, element + (3 * lanes), inverse),
            ref codes,
            element);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector PackOne<TWidth, TVector>(ref byte source, nuint element, TVector inverse)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        Fp8E4M3Operator.Encode<TWidth, TVector>(TWidth.MultiplySingle(TWidth.Load32(ref source, element * 4), inverse));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackFinite<TWidth, TVector>(ref byte source, nuint element, TVector inverse, ref byte codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint lanes = (nuint)TWidth.Lanes;
        TWidth.Store8(
            PackFiniteOne<TWidth, TVector>(ref source, element, inverse),
            PackFiniteOne<TWidth, TVector>(ref source, element + lanes, inverse),
            PackFiniteOne<TWidth, TVector>(ref source, element + (2 * lanes), inverse),
            PackFiniteOne<TWidth, TVector>(ref source, element + (3 * lanes), inverse),
            ref codes,
            element);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector PackFiniteOne<TWidth, TVector>(ref byte source, nuint element, TVector inverse)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector singles = TWidth.Load32(ref source, element * 4);
        TVector magnitude = TWidth.And(singles, TWidth.Create(NarrowFloat.SingleMagnitude));
        TVector code = Fp8E4M3Operator.EncodeNonNegative<TWidth, TVector>(TWidth.MultiplySingle(magnitude, inverse));
        return TWidth.Or(
            TWidth.And(code, TWidth.Create(0x7F)), TWidth.And(TWidth.ShiftRight(singles, 24), TWidth.Create(0x80)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<TWidth, TVector>(ref byte codes, nuint element, TVector scale, ref byte destination)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint next = element + (nuint)TWidth.Lanes;
        TVector first = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.Load8(ref codes, element));
        TVector second = Fp8E4M3Operator.Decode<TWidth, TVector>(TWidth.Load8(ref codes, next));
        TWidth.Store32(TWidth.MultiplySingle(first, scale), ref destination, element * 4);
        TWidth.Store32(TWidth.MultiplySingle(second, scale), ref destination, next * 4);
    }
}
