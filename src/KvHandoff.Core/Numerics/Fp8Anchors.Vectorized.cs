using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

static partial class Fp8Anchors
{
    static int FitsVectors(ReadOnlySpan<float> largest, ReadOnlySpan<float> inverses, float limit, out bool fits)
    {
        fits = true;
        if (InstructionSet.VectorBits >= 256 && largest.Length >= Width256.Lanes)
            return FitsLoop<Width256, Vector256<uint>>(largest, inverses, limit, out fits);
        if (InstructionSet.VectorBits >= 128 && largest.Length >= Width128.Lanes)
            return FitsLoop<Width128, Vector128<uint>>(largest, inverses, limit, out fits);
        return 0;
    }

    static int ComputeVectors(
        ReadOnlySpan<float> inverses, float adjustment, uint anchorOfOne, Span<float> adjusted, Span<uint> offsets)
    {
        if (InstructionSet.VectorBits >= 256 && inverses.Length >= Width256.Lanes)
            return ComputeLoop<Width256, Vector256<uint>>(inverses, adjustment, anchorOfOne, adjusted, offsets);
        if (InstructionSet.VectorBits >= 128 && inverses.Length >= Width128.Lanes)
            return ComputeLoop<Width128, Vector128<uint>>(inverses, adjustment, anchorOfOne, adjusted, offsets);
        return 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int FitsLoop<TWidth, TVector>(ReadOnlySpan<float> largest, ReadOnlySpan<float> inverses, float limit, out bool fits)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte magnitudes = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(largest));
        ref byte factors = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(inverses));
        // Bits of numbers that are not negative are ordered as the numbers are; a NaN, or a negative inverse, is above the limits.
        TVector product = TWidth.Create(0);
        TVector above = TWidth.Create(0);
        TVector below = TWidth.Create(uint.MaxValue);
        int i = 0;
        for (; i + TWidth.Lanes <= largest.Length; i += TWidth.Lanes)
        {
            TVector inverse = TWidth.Load32(ref factors, (nuint)i * 4);
            product = TWidth.Max(product, TWidth.MultiplySingle(TWidth.Load32(ref magnitudes, (nuint)i * 4), inverse));
            above = TWidth.Max(above, inverse);
            below = TWidth.Min(below, inverse);
        }

        fits = TWidth.LargestUInt32(product) <= BitConverter.SingleToUInt32Bits(limit)
            && TWidth.LargestUInt32(above) <= BitConverter.SingleToUInt32Bits(LargestInverse)
            && ~TWidth.LargestUInt32(TWidth.Subtract(TWidth.Create(uint.MaxValue), below)) >= BitConverter.SingleToUInt32Bits(SmallestInverse);
        return i;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int ComputeLoop<TWidth, TVector>(
        ReadOnlySpan<float> inverses, float adjustment, uint anchorOfOne, Span<float> adjusted, Span<uint> offsets)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(inverses));
        ref byte toAdjusted = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(adjusted));
        ref byte toOffsets = ref Unsafe.As<uint, byte>(ref MemoryMarshal.GetReference(offsets));
        TVector one = TWidth.Create(One);
        TVector factor = TWidth.Create(BitConverter.SingleToUInt32Bits(adjustment));
        TVector anchor = TWidth.Create(anchorOfOne << 7);
        int i = 0;
        for (; i + TWidth.Lanes <= inverses.Length; i += TWidth.Lanes)
        {
            TVector inverse = TWidth.Load32(ref from, (nuint)i * 4);
            TVector first = TWidth.ShiftRight(TWidth.Subtract(TWidth.DivideSingle(one, inverse), TWidth.Create(2)), 16);
            TVector low = TWidth.ShiftLeft(first, 16);
            TVector high = TWidth.Add(low, TWidth.Create(0x0001_0000));
            // A mask is -1: adding it to the offset subtracts the count of candidates that stay below 1.
            TVector below = TWidth.Add(
                TWidth.GreaterThan(one, TWidth.MultiplySingle(low, inverse)), TWidth.GreaterThan(one, TWidth.MultiplySingle(high, inverse)));
            TVector offset = TWidth.Add(TWidth.Subtract(anchor, first), below);
            TWidth.Store32(TWidth.MultiplySingle(inverse, factor), ref toAdjusted, (nuint)i * 4);
            TWidth.Store32(TWidth.JoinHalves(offset, TWidth.ShiftLeft(offset, 16)), ref toOffsets, (nuint)i * 4);
        }

        return i;
    }
}
