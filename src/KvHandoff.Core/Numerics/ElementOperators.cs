using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

readonly struct BFloat16Operator : IElementOperator
{
    public static int SizeBytes => 2;

    public static uint EncodeOne(uint single) => NarrowFloat.BFloat16FromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.BFloat16ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector rounded = RoundToUpper<TWidth, TVector>(singles);
        TVector quiet = TWidth.Or(singles, TWidth.Create(0x0040_0000));
        return TWidth.ShiftRight(TWidth.Select(NarrowVector.IsNaN<TWidth, TVector>(singles), quiet, rounded), 16);
    }

    /// <summary>The code in the upper half of each lane, the lower half left over; wrong for NaNs with low bits set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector RoundToUpper<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector tie = TWidth.And(TWidth.ShiftRight(singles, 16), TWidth.Create(1));
        return TWidth.Add(singles, TWidth.Add(tie, TWidth.Create(0x7FFF)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Decode<TWidth, TVector>(TVector codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.ShiftLeft(codes, 16);
}

readonly struct HalfOperator : IElementOperator
{
    public static int SizeBytes => 2;

    public static uint EncodeOne(uint single) => NarrowFloat.HalfFromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.HalfToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // 65536 rounds to the code of infinity, so clamping to it is what makes overflow IEEE's.
        TVector magnitude = NarrowVector.RoundMagnitude<TWidth, TVector>(
            singles, mantissaBits: 10, bias: 15, codeBits: 15, largest: 0x4780_0000);
        TVector payload = TWidth.And(TWidth.ShiftRight(singles, 13), TWidth.Create(0x03FF));
        TVector nan = TWidth.Or(payload, TWidth.Create(0x7E00));
        TVector code = TWidth.Select(NarrowVector.IsNaN<TWidth, TVector>(singles), nan, magnitude);
        return TWidth.Or(code, TWidth.And(TWidth.ShiftRight(singles, 16), TWidth.Create(0x8000)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Decode<TWidth, TVector>(TVector codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = TWidth.And(codes, TWidth.Create(0x7FFF));
        TVector finite = NarrowVector.WidenMagnitude<TWidth, TVector>(magnitude, mantissaBits: 10, bias: 15);
        // Exponent 31 must become 255: 112 more than rebiasing gives.
        TVector special = TWidth.Add(finite, TWidth.And(
            TWidth.GreaterThan(magnitude, TWidth.Create(0x7BFF)), TWidth.Create(112u << 23)));
        TVector quiet = TWidth.And(TWidth.GreaterThan(magnitude, TWidth.Create(0x7C00)), TWidth.Create(0x0040_0000));
        TVector sign = TWidth.ShiftLeft(TWidth.And(codes, TWidth.Create(0x8000)), 16);
        return TWidth.Or(TWidth.Or(special, quiet), sign);
    }
}

readonly struct Fp8E4M3Operator : IElementOperator
{
    public static int SizeBytes => 1;

    public static uint EncodeOne(uint single) => NarrowFloat.Fp8E4M3FromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.Fp8E4M3ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = NarrowVector.RoundMagnitude<TWidth, TVector>(
            singles, mantissaBits: 3, bias: 7, codeBits: 7, largest: 0x43E0_0000);
        // A NaN has been clamped to 0x7E; its mask is -1, so subtracting it makes 0x7F.
        TVector code = TWidth.Subtract(magnitude, NarrowVector.IsNaN<TWidth, TVector>(singles));
        return TWidth.Or(code, TWidth.And(TWidth.ShiftRight(singles, 24), TWidth.Create(0x80)));
    }

    /// <summary>
    /// The code in the low seven bits of each lane, the rest left over, of numbers that are not negative and round to at most 448.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector EncodeNonNegative<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowVector.RoundNonNegative<TWidth, TVector>(singles, mantissaBits: 3, bias: 7, codeBits: 7);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Decode<TWidth, TVector>(TVector codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = TWidth.And(codes, TWidth.Create(0x7F));
        TVector finite = NarrowVector.WidenMagnitude<TWidth, TVector>(magnitude, mantissaBits: 3, bias: 7);
        TVector isNaN = TWidth.GreaterThan(magnitude, TWidth.Create(0x7E));
        TVector value = TWidth.Select(isNaN, TWidth.Create(NarrowFloat.SingleQuietNaN), finite);
        return TWidth.Or(value, TWidth.ShiftLeft(TWidth.And(codes, TWidth.Create(0x80)), 24));
    }
}

readonly struct Fp8E5M2Operator : IElementOperator
{
    public static int SizeBytes => 1;

    public static uint EncodeOne(uint single) => NarrowFloat.Fp8E5M2FromSingle(single);

    public static uint DecodeOne(uint code) => NarrowFloat.Fp8E5M2ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Encode<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = NarrowVector.RoundMagnitude<TWidth, TVector>(
            singles, mantissaBits: 2, bias: 15, codeBits: 7, largest: 0x4760_0000);
        // A NaN has been clamped to 0x7B; three more is its code, 0x7E.
        TVector nan = TWidth.And(NarrowVector.IsNaN<TWidth, TVector>(singles), TWidth.Create(3));
        TVector sign = TWidth.And(TWidth.ShiftRight(singles, 24), TWidth.Create(0x80));
        return TWidth.Or(TWidth.Add(magnitude, nan), sign);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Decode<TWidth, TVector>(TVector codes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        HalfOperator.Decode<TWidth, TVector>(TWidth.ShiftLeft(codes, 8));
}
