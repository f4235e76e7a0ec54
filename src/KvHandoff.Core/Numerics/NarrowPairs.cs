using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

/// <summary>The arithmetic on pairs of neighbours that the FP8 formats share.</summary>
static class NarrowPairs
{
    /// <summary>Codes of any elements, NaN and infinity included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector Encode<TElement, TOperator, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd)
        where TElement : IRowElement
        where TOperator : IElementOperator
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TElement.LoadPairs<TWidth, TVector>(ref source, offsetBytes, out TVector even, out TVector odd);
        return TWidth.Or(
            TOperator.Encode<TWidth, TVector>(TWidth.MultiplySingle(even, inverseEven)),
            TWidth.ShiftLeft(TOperator.Encode<TWidth, TVector>(TWidth.MultiplySingle(odd, inverseOdd)), 16));
    }

    /// <summary>Packs two groups of finite elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void PackFinite<TElement, TWidth, TVector>(
        ref byte source,
        nuint offsetBytes,
        PackFactors<TVector> first,
        PackFactors<TVector> second,
        ref byte codes,
        nuint at,
        int mantissaBits,
        int bias,
        int lowestAnchor)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint next = offsetBytes + ((nuint)TWidth.Lanes * 2 * (nuint)TElement.SizeBytes);
        TVector low, high, lowSigns, highSigns;
        if (typeof(TElement) == typeof(BFloat16Element))
        {
            lowSigns = TWidth.Load32(ref source, offsetBytes);
            highSigns = TWidth.Load32(ref source, next);
            EncodeAnchored<TWidth, TVector>(lowSigns, highSigns, first, second, mantissaBits, lowestAnchor, out low, out high);
        }
        else
        {
            low = EncodeMagnitudes<TElement, TWidth, TVector>(
                ref source, offsetBytes, first.Even, first.Odd, mantissaBits, bias, out lowSigns);
            high = EncodeMagnitudes<TElement, TWidth, TVector>(
                ref source, next, second.Even, second.Odd, mantissaBits, bias, out highSigns);
        }

        TWidth.StoreBytesWithSigns(low, high, lowSigns, highSigns, ref codes, at);
    }

    /// <summary>
    /// The magnitudes of the codes of one group, and in <paramref name="signs"/> its signs in the upper bit of each 16-bit lane.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector EncodeMagnitudes<TElement, TWidth, TVector>(
        ref byte source, nuint offsetBytes, TVector inverseEven, TVector inverseOdd, int mantissaBits, int bias, out TVector signs)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        signs = TElement.LoadMagnitudes<TWidth, TVector>(ref source, offsetBytes, out TVector even, out TVector odd);
        even = NarrowVector.RoundNonNegative<TWidth, TVector>(TWidth.MultiplySingle(even, inverseEven), mantissaBits, bias, codeBits: 7);
        odd = NarrowVector.RoundNonNegative<TWidth, TVector>(TWidth.MultiplySingle(odd, inverseOdd), mantissaBits, bias, codeBits: 7);
        return TWidth.And(TWidth.JoinHalves(even, TWidth.ShiftLeft(odd, 16)), TWidth.Create(0x007F_007F));
    }

    /// <summary>
    /// The same for two groups of BF16, with inverses and offsets of <see cref="Fp8Anchors"/>: the exponents of the products, which
    /// say where to round, come out of one addition on the elements' own bits, two elements a lane. The groups take turns, so
    /// that what waits for one has the other beside it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void EncodeAnchored<TWidth, TVector>(
        TVector firstSigns,
        TVector secondSigns,
        PackFactors<TVector> first,
        PackFactors<TVector> second,
        int mantissaBits,
        int lowestAnchor,
        out TVector low,
        out TVector high)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector upper = TWidth.Create(0xFFFF_0000);
        TVector magnitudeMask = TWidth.Create(0x7FFF_7FFF);
        TVector lowest = TWidth.Create(((uint)lowestAnchor << 23) | ((uint)lowestAnchor << 7));
        TVector m = TWidth.And(firstSigns, magnitudeMask);
        TVector n = TWidth.And(secondSigns, magnitudeMask);
        // Below the exponent, an anchor's bits are those of the element: whole steps times 2^16, which the low halves of the sums
        // do not show, and even, which leaves ties alone.
        TVector a = TWidth.MaxInt16(TWidth.AddInt16(m, first.Offsets), lowest);
        TVector b = TWidth.MaxInt16(TWidth.AddInt16(n, second.Offsets), lowest);
        TVector mEven = TWidth.MultiplySingle(TWidth.ShiftLeft(m, 16), first.Even);
        TVector nEven = TWidth.MultiplySingle(TWidth.ShiftLeft(n, 16), second.Even);
        TVector mOdd = TWidth.MultiplySingle(TWidth.And(m, upper), first.Odd);
        TVector nOdd = TWidth.MultiplySingle(TWidth.And(n, upper), second.Odd);
        mEven = TWidth.AddSingle(mEven, TWidth.ShiftLeft(a, 16));
        nEven = TWidth.AddSingle(nEven, TWidth.ShiftLeft(b, 16));
        mOdd = TWidth.AddSingle(mOdd, TWidth.And(a, upper));
        nOdd = TWidth.AddSingle(nOdd, TWidth.And(b, upper));
        uint field = 0x7F & ~((1u << mantissaBits) - 1);
        TVector exponentMask = TWidth.Create(field | (field << 16));
        a = TWidth.And(TWidth.ShiftRight16(a, 7 - mantissaBits), exponentMask);
        b = TWidth.And(TWidth.ShiftRight16(b, 7 - mantissaBits), exponentMask);
        low = TWidth.AddInt16(TWidth.JoinHalves(mEven, TWidth.ShiftLeft(mOdd, 16)), a);
        high = TWidth.AddInt16(TWidth.JoinHalves(nEven, TWidth.ShiftLeft(nOdd, 16)), b);
    }
}
