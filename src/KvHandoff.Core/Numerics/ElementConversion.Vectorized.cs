using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

public static partial class ElementConversion
{
    /// <summary>Widens what fills whole vectors and returns how many elements that was.</summary>
    static int WidenVectors<T, TOperator>(ReadOnlySpan<T> source, Span<float> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        // Short inputs never enter a bulk loop, which is compiled without tiering.
        if (InstructionSet.VectorBits == 0 || source.Length < Vector128<uint>.Count)
            return 0;

        ref byte from = ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(source));
        ref byte to = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(destination));
        nuint count = (nuint)source.Length;
        nuint done = 0;
        if (InstructionSet.VectorBits >= 512)
            done = WidenLoop<TOperator, Width512, Vector512<uint>>(ref from, ref to, done, count);
        if (InstructionSet.VectorBits >= 256)
            done = WidenLoop<TOperator, Width256, Vector256<uint>>(ref from, ref to, done, count);
        return (int)WidenLoop<TOperator, Width128, Vector128<uint>>(ref from, ref to, done, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static nuint WidenLoop<TOperator, TWidth, TVector>(ref byte source, ref byte destination, nuint start, nuint count)
        where TOperator : IElementOperator
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint i = start;
        for (; i + (nuint)TWidth.Lanes <= count; i += (nuint)TWidth.Lanes)
        {
            TVector codes = TOperator.SizeBytes == 1 ? TWidth.Load8(ref source, i) : TWidth.Load16(ref source, i * 2);
            TWidth.Store32(TOperator.Decode<TWidth, TVector>(codes), ref destination, i * 4);
        }

        return i;
    }

    /// <summary>Narrows what fills whole groups of four vectors and returns how many elements that was.</summary>
    static int NarrowVectors<T, TOperator>(ReadOnlySpan<float> source, Span<T> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        if (InstructionSet.VectorBits == 0 || source.Length < 4 * Vector128<uint>.Count)
            return 0;

        ref byte from = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(source));
        ref byte to = ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(destination));
        nuint count = (nuint)source.Length;
        nuint done = 0;
        if (InstructionSet.VectorBits >= 512)
            done = NarrowLoop<TOperator, Width512, Vector512<uint>>(ref from, ref to, done, count);
        if (InstructionSet.VectorBits >= 256)
            done = NarrowLoop<TOperator, Width256, Vector256<uint>>(ref from, ref to, done, count);
        return (int)NarrowLoop<TOperator, Width128, Vector128<uint>>(ref from, ref to, done, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static nuint NarrowLoop<TOperator, TWidth, TVector>(ref byte source, ref byte destination, nuint start, nuint count)
        where TOperator : IElementOperator
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        // Four vectors a turn: packing four to one byte vector takes as many instructions as packing one.
        nuint lanes = (nuint)TWidth.Lanes;
        nuint i = start;
        for (; i + (4 * lanes) <= count; i += 4 * lanes)
        {
            TVector a = TOperator.Encode<TWidth, TVector>(TWidth.Load32(ref source, i * 4));
            TVector b = TOperator.Encode<TWidth, TVector>(TWidth.Load32(ref source, (i + lanes) * 4));
            TVector c = TOperator.Encode<TWidth, TVector>(TWidth.Load32(ref source, (i + (2 * lanes)) * 4));
            TVector d = TOperator.Encode<TWidth, TVector>(TWidth.Load32(ref source, (i + (3 * lanes)) * 4));
            if (TOperator.SizeBytes == 1)
            {
                TWidth.Store8(a, b, c, d, ref destination, i);
            }
            else
            {
                TWidth.Store16(a, b, ref destination, i * 2);
                TWidth.Store16(c, d, ref destination, (i + (2 * lanes)) * 2);
            }
        }

        return i;
    }
}
