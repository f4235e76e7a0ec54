using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

public static partial class Fp8Packing
{
    /// <summary>The largest magnitude of each row; false where one of them is infinite or NaN.</summary>
    static bool LargestMagnitudes<T, TRows>(ReadOnlySpan<T> source, int rowLength, Span<float> largest)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        if (InstructionSet.VectorBits >= 512)
            return LargestLoop<T, TRows, Width512, Vector512<uint>>(source, rowLength, largest);
        if (InstructionSet.VectorBits >= 256)
            return LargestLoop<T, TRows, Width256, Vector256<uint>>(source, rowLength, largest);
        if (InstructionSet.VectorBits >= 128)
            return LargestLoop<T, TRows, Width128, Vector128<uint>>(source, rowLength, largest);
        return FiniteMagnitudes<T, TRows>(source, rowLength, largest) == PackFlags.None;
    }

    /// <summary>Packs whole rows, each with its own inverse scale.</summary>
    static void PackRows<T, TRows>(
        ReadOnlySpan<T> source, int rowLength, ReadOnlySpan<float> inverses, Span<Fp8E4M3> codes, bool finite)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        if (InstructionSet.VectorBits >= 512)
            PackLoop<T, TRows, Width512, Vector512<uint>>(source, rowLength, inverses, codes, finite);
        else if (InstructionSet.VectorBits >= 256)
            PackLoop<T, TRows, Width256, Vector256<uint>>(source, rowLength, inverses, codes, finite);
        else if (InstructionSet.VectorBits >= 128)
            PackLoop<T, TRows, Width128, Vector128<uint>>(source, rowLength, inverses, codes, finite);
        else
            for (int row = 0; row < inverses.Length; row++)
                PackScalar<T, TRows>(
                    source.Slice(row * rowLength, rowLength), inverses[row], codes.Slice(row * rowLength, rowLength));
    }

    /// <summary>Unpacks whole rows, each with its own scale.</summary>
    static void UnpackRows<T, TRows>(ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<T> destination)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        if (InstructionSet.VectorBits >= 512)
            UnpackLoop<T, TRows, Width512, Vector512<uint>>(codes, rowLength, scales, destination);
        else if (InstructionSet.VectorBits >= 256)
            UnpackLoop<T, TRows, Width256, Vector256<uint>>(codes, rowLength, scales, destination);
        else if (InstructionSet.VectorBits >= 128)
            UnpackLoop<T, TRows, Width128, Vector128<uint>>(codes, rowLength, scales, destination);
        else
            for (int row = 0; row < scales.Length; row++)
                UnpackScalar<T, TRows>(
                    codes.Slice(row * rowLength, rowLength), scales[row], destination.Slice(row * rowLength, rowLength));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static bool LargestLoop<T, TRows, TWidth, TVector>(ReadOnlySpan<T> source, int rowLength, Span<float> largest)
        where T : unmanaged
        where TRows : IRowOperator<T>
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(source));
        nuint rowBytes = (nuint)rowLength * (nuint)TRows.SizeBytes;
        nuint step = (nuint)TWidth.Lanes * 4;
        uint overall = 0;
        for (int row = 0; row < largest.Length; row++)
        {
            nuint i = (nuint)row * rowBytes;
            nuint end = i + rowBytes;
            TVector even = TWidth.Create(0);
            TVector odd = TWidth.Create(0);
            for (; i + (2 * step) <= end; i += 2 * step)
            {
                even = TRows.MaxMagnitude<TWidth, TVector>(even, TWidth.Load32(ref from, i));
                odd = TRows.MaxMagnitude<TWidth, TVector>(odd, TWidth.Load32(ref from, i + step));
            }

            Vector128<uint> rest = Vector128<uint>.Zero;
            for (; i + 16 <= end; i += 16)
                rest = TRows.MaxMagnitude<Width128, Vector128<uint>>(rest, Width128.Load32(ref from, i));
            uint amax = TRows.LargestBits<TWidth, TVector>(TRows.MaxMagnitude<TWidth, TVector>(even, odd));
            amax = Math.Max(amax, TRows.LargestBits<Width128, Vector128<uint>>(rest));
            for (; i < end; i += (nuint)TRows.SizeBytes)
            {
                T element = Unsafe.ReadUnaligned<T>(ref Unsafe.AddByteOffset(ref from, i));
                amax = Math.Max(amax, TRows.SingleBits(element) & NarrowFloat.SingleMagnitude);
            }

            overall = Math.Max(overall, amax);
            largest[row] = BitConverter.UInt32BitsToSingle(amax);
        }

        return overall < NarrowFloat.SingleInfinity;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void PackLoop<T, TRows, TWidth, TVector>(
        ReadOnlySpan<T> source, int rowLength, ReadOnlySpan<float> inverses, Span<Fp8E4M3> codes, bool finite)
        where T : unmanaged
        where TRows : IRowOperator<T>
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(source));
        ref byte to = ref Unsafe.As<Fp8E4M3, byte>(ref MemoryMarshal.GetReference(codes));
        nuint step = (nuint)TWidth.Lanes * 4;
        for (int row = 0; row < inverses.Length; row++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(inverses[row]);
            TVector inverse = TWidth.Create(bits);
            nuint i = (nuint)row * (nuint)rowLength;
            nuint end = i + (nuint)rowLength;
            if (finite)
            {
                for (; i + step <= end; i += step)
                    TRows.PackFinite<TWidth, TVector>(ref from, i, inverse, ref to);
            }

            for (; i + step <= end; i += step)
                TRows.Pack<TWidth, TVector>(ref from, i, inverse, ref to);
            for (; i + 16 <= end; i += 16)
                TRows.Pack<Width128, Vector128<uint>>(ref from, i, Vector128.Create(bits), ref to);
            if (i < end)
                PackScalar<T, TRows>(source[(int)i..(int)end], inverses[row], codes[(int)i..(int)end]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void UnpackLoop<T, TRows, TWidth, TVector>(
        ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<T> destination)
        where T : unmanaged
        where TRows : IRowOperator<T>
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.As<Fp8E4M3, byte>(ref MemoryMarshal.GetReference(codes));
        ref byte to = ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(destination));
        nuint step = (nuint)TWidth.Lanes * 2;
        for (int row = 0; row < scales.Length; row++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(scales[row]);
            TVector scale = TWidth.Create(bits);
            nuint i = (nuint)row * (nuint)rowLength;
            nuint end = i + (nuint)rowLength;
            if (float.IsFinite(scales[row]))
            {
                for (; i + step <= end; i += step)
                    TRows.Unpack<TWidth, TVector>(ref from, i, scale, ref to);
                for (; i + 8 <= end; i += 8)
                    TRows.Unpack<Width128, Vector128<uint>>(ref from, i, Vector128.Create(bits), ref to);
            }

            if (i < end)
                UnpackScalar<T, TRows>(codes[(int)i..(int)end], scales[row], destination[(int)i..(int)end]);
        }
    }
}
