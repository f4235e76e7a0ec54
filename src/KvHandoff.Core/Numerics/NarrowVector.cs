using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

/// <summary>The arithmetic that the vectorised forms of all narrow formats share.</summary>
static class NarrowVector
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector IsNaN<TWidth, TVector>(TVector singles)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct =>
        TWidth.GreaterThan(
            TWidth.And(singles, TWidth.Create(NarrowFloat.SingleMagnitude)), TWidth.Create(NarrowFloat.SingleInfinity));

    /// <summary>
    /// Codes of the magnitudes, clamped to the binary32 <paramref name="largest"/> before they are rounded (a NaN clamps too).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector RoundMagnitude<TWidth, TVector>(TVector singles, int mantissaBits, int bias, int codeBits, uint largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = TWidth.Min(TWidth.And(singles, TWidth.Create(NarrowFloat.SingleMagnitude)), TWidth.Create(largest));
        TVector code = RoundNonNegative<TWidth, TVector>(magnitude, mantissaBits, bias, codeBits);
        return TWidth.And(code, TWidth.Create((1u << codeBits) - 1));
    }

    /// <summary>
    /// Codes of numbers that are neither negative nor above the largest by half a step. Bits from
    /// <paramref name="codeBits"/> up, the sign not counted, are left over from the arithmetic.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector RoundNonNegative<TWidth, TVector>(TVector singles, int mantissaBits, int bias, int codeBits)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // An anchor so large that its last place is one step of the format: adding it lets the hardware round to nearest even.
        int shift = 23 - mantissaBits;
        uint smallestNormal = (uint)(128 - bias) << 23;
        TVector binade = TWidth.Max(
            TWidth.And(singles, TWidth.Create(NarrowFloat.SingleInfinity)), TWidth.Create(smallestNormal));
        // The sum's mantissa counts steps with the hidden bit, its exponent is off by the rebiasing. Both go by making the anchor
        // an even number of steps larger, which is what the code lacks modulo its width.
        uint offset = (uint)(128 - bias + shift) << mantissaBits;
        uint correction = (0u - offset) & ((1u << codeBits) - 1);
        TVector anchor = TWidth.Add(binade, TWidth.Create(((uint)shift << 23) + correction));
        TVector sum = TWidth.AddSingle(singles, anchor);
        // The count is spelt out again so that it stays an immediate.
        return TWidth.Add(sum, TWidth.ShiftRight(sum, 23 - mantissaBits));
    }

    /// <summary>
    /// The binary32 of magnitudes, as if the largest exponent were an ordinary one. No step sees a subnormal binary32, which
    /// some processors handle in microcode.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector WidenMagnitude<TWidth, TVector>(TVector magnitude, int mantissaBits, int bias)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector normal = TWidth.Add(TWidth.ShiftLeft(magnitude, 23 - mantissaBits), TWidth.Create((uint)(127 - bias) << 23));
        // A subnormal has the exponent of the smallest normal and no hidden bit: put it in, then take its value off.
        TVector smallestNormal = TWidth.Create((uint)(128 - bias) << 23);
        TVector subnormal = TWidth.SubtractSingle(TWidth.Add(normal, TWidth.Create(1u << 23)), smallestNormal);
        return TWidth.Select(TWidth.GreaterThan(TWidth.Create(1u << mantissaBits), magnitude), subnormal, normal);
    }
}
