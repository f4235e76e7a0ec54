using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

static partial class AmaxScale
{
    /// <summary>Takes what fills whole vectors and returns how many scales that was.</summary>
    static int ComputeVectors(
        ReadOnlySpan<float> largest, float largestCode, bool toBFloat16, Span<float> scales, Span<float> inverses)
    {
        if (InstructionSet.VectorBits >= 512 && largest.Length >= Width512.Lanes)
            return ComputeLoop<Width512, Vector512<uint>>(largest, largestCode, toBFloat16, scales, inverses);
        if (InstructionSet.VectorBits >= 256 && largest.Length >= Width256.Lanes)
            return ComputeLoop<Width256, Vector256<uint>>(largest, largestCode, toBFloat16, scales, inverses);
        if (InstructionSet.VectorBits >= 128 && largest.Length >= Width128.Lanes)
            return ComputeLoop<Width128, Vector128<uint>>(largest, largestCode, toBFloat16, scales, inverses);
        return 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int ComputeLoop<TWidth, TVector>(
        ReadOnlySpan<float> largest, float largestCode, bool toBFloat16, Span<float> scales, Span<float> inverses)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(largest));
        ref byte toScales = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(scales));
        ref byte toInverses = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(inverses));
        TVector divisor = TWidth.Create(BitConverter.SingleToUInt32Bits(largestCode));
        TVector smallest = TWidth.Create(BitConverter.SingleToUInt32Bits(Smallest));
        TVector one = TWidth.Create(BitConverter.SingleToUInt32Bits(1f));
        int i = 0;
        for (; i + TWidth.Lanes <= largest.Length; i += TWidth.Lanes)
        {
            TVector amax = TWidth.Load32(ref from, (nuint)i * 4);
            // Numbers that are not negative are ordered as their bits are.
            TVector scale = TWidth.Max(TWidth.DivideSingle(amax, divisor), smallest);
            scale = TWidth.Select(TWidth.GreaterThan(amax, TWidth.Create(0)), scale, one);
            if (toBFloat16)
                scale = TWidth.And(BFloat16Operator.RoundToUpper<TWidth, TVector>(scale), TWidth.Create(0xFFFF_0000));
            TWidth.Store32(scale, ref toScales, (nuint)i * 4);
            TWidth.Store32(TWidth.DivideSingle(one, scale), ref toInverses, (nuint)i * 4);
        }

        return i;
    }
}
