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
    internal static TVector RoundMagnitude<TWidth, TVector>(TVector singles, int mantissaBits, int bias, uint largest)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        TVector magnitude = TWidth.Min(TWidth.And(singles, TWidth.Create(NarrowFloat.SingleMagnitude)), TWidth.Create(largest));
        // An anchor so large that its last place is one step of the format: adding it lets the hardware round to nearest even.
        TVector binade = TWidth.Max(
            TWidth.And(magnitude, TWidth.Create(NarrowFloat.SingleInfinity)), TWidth.Create((uint)(128 - bias) << 23));
        TVector anchor = TWidth.Add(binade, TWidth.Create((uint)(23 - mantissaBits) << 23));
        TVector steps = TWidth.Subtract(TWidth.AddSingle(magnitude, anchor), anchor);
        // The steps hold the hidden bit, so the exponent field is added less one.
        TVector exponent = TWidth.ShiftRight(anchor, 23 - mantissaBits);
        return TWidth.Subtract(TWidth.Add(steps, exponent), TWidth.Create((uint)(128 - bias + 23 - mantissaBits) << mantissaBits));
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
