using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

readonly struct BFloat16Element : IRowElement
{
    public static int SizeBytes => 2;

    public static uint Widen(uint element) => NarrowFloat.BFloat16ToSingle(element);

    public static uint Narrow(uint single) => NarrowFloat.BFloat16FromSingle(single);

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
    public static void LoadPairs<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load32(ref source, offsetBytes);
        even = TWidth.ShiftLeft(pairs, 16);
        odd = TWidth.And(pairs, TWidth.Create(0xFFFF_0000));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadMagnitudes<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load32(ref source, offsetBytes);
        TVector magnitudes = TWidth.And(pairs, TWidth.Create(0x7FFF_7FFF));
        even = TWidth.ShiftLeft(magnitudes, 16);
        odd = TWidth.And(magnitudes, TWidth.Create(0xFFFF_0000));
        return pairs;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs<TWidth, TVector>(TVector even, TVector odd, ref byte destination, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        even = BFloat16Operator.RoundToUpper<TWidth, TVector>(even);
        odd = BFloat16Operator.RoundToUpper<TWidth, TVector>(odd);
        TWidth.Store32(TWidth.JoinHalves(TWidth.ShiftRight(even, 16), odd), ref destination, offsetBytes);
    }
}

readonly struct HalfElement : IRowElement
{
    public static int SizeBytes => 2;

    public static uint Widen(uint element) => NarrowFloat.HalfToSingle(element);

    public static uint Narrow(uint single) => NarrowFloat.HalfFromSingle(single);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MaxMagnitude<TWidth, TVector>(TVector largest, TVector raw)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        BFloat16Element.MaxMagnitude<TWidth, TVector>(largest, raw);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LargestBits<TWidth, TVector>(TVector largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        NarrowFloat.HalfToSingle(TWidth.LargestUInt16(largest));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPairs<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load32(ref source, offsetBytes);
        even = HalfOperator.Decode<TWidth, TVector>(TWidth.And(pairs, TWidth.Create(0xFFFF)));
        odd = HalfOperator.Decode<TWidth, TVector>(TWidth.ShiftRight(pairs, 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadMagnitudes<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector pairs = TWidth.Load32(ref source, offsetBytes);
        TVector magnitudes = TWidth.And(pairs, TWidth.Create(0x7FFF_7FFF));
        even = HalfOperator.Decode<TWidth, TVector>(TWidth.And(magnitudes, TWidth.Create(0xFFFF)));
        odd = HalfOperator.Decode<TWidth, TVector>(TWidth.ShiftRight(magnitudes, 16));
        return pairs;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs<TWidth, TVector>(TVector even, TVector odd, ref byte destination, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector low = HalfOperator.Encode<TWidth, TVector>(even);
        TVector high = TWidth.ShiftLeft(HalfOperator.Encode<TWidth, TVector>(odd), 16);
        TWidth.Store32(TWidth.Or(low, high), ref destination, offsetBytes);
    }
}

readonly struct SingleElement : IRowElement
{
    public static int SizeBytes => 4;

    public static uint Widen(uint element) => element;

    public static uint Narrow(uint single) => single;

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
    public static void LoadPairs<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.Unzip(
            TWidth.Load32(ref source, offsetBytes),
            TWidth.Load32(ref source, offsetBytes + ((nuint)TWidth.Lanes * 4)),
            out even,
            out odd);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector LoadMagnitudes<TWidth, TVector>(ref byte source, nuint offsetBytes, out TVector even, out TVector odd)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        LoadPairs<TWidth, TVector>(ref source, offsetBytes, out even, out odd);
        TVector signs = TWidth.JoinHalves(TWidth.ShiftRight(even, 16), odd);
        even = TWidth.And(even, TWidth.Create(NarrowFloat.SingleMagnitude));
        odd = TWidth.And(odd, TWidth.Create(NarrowFloat.SingleMagnitude));
        return signs;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs<TWidth, TVector>(TVector even, TVector odd, ref byte destination, nuint offsetBytes)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TWidth.Zip(even, odd, out TVector first, out TVector second);
        TWidth.Store32(first, ref destination, offsetBytes);
        TWidth.Store32(second, ref destination, offsetBytes + ((nuint)TWidth.Lanes * 4));
    }
}
