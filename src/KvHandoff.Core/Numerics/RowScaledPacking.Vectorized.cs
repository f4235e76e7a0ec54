using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

public static partial class RowScaledPacking
{
    /// <summary>The largest magnitude of each row; false where one of them is infinite or NaN.</summary>
    internal static bool LargestMagnitudes<TElement>(PackingRows rows, Span<float> largest)
        where TElement : IRowElement
    {
        if (InstructionSet.VectorBits >= 512)
            return LargestLoop<TElement, Width512, Vector512<uint>>(rows, largest);
        if (InstructionSet.VectorBits >= 256)
            return LargestLoop<TElement, Width256, Vector256<uint>>(rows, largest);
        if (InstructionSet.VectorBits >= 128)
            return LargestLoop<TElement, Width128, Vector128<uint>>(rows, largest);
        return FiniteMagnitudes<TElement>(rows, largest) == PackFlags.None;
    }

    /// <summary>
    /// Packs at most <see cref="TileRows"/> rows, each with its own inverse. <paramref name="finite"/> says that all elements are
    /// finite and that none exceeds the largest code by half a step.
    /// </summary>
    internal static void PackRows<TElement, TCode>(
        PackingRows rows, scoped ReadOnlySpan<float> inverses, Span<byte> codes, bool finite)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        scoped Span<float> adjusted = stackalloc float[TileRows];
        Span<uint> offsets = stackalloc uint[TileRows];
        if (finite && InstructionSet.VectorBits >= 128 && typeof(TElement) == typeof(BFloat16Element) && TCode.AnchorAdjustment != 0)
        {
            finite = Fp8Anchors.Cover(inverses[..rows.Count]);
            if (finite)
            {
                Fp8Anchors.Compute(inverses[..rows.Count], TCode.AnchorAdjustment, TCode.AnchorOfOne, adjusted, offsets);
                inverses = adjusted;
            }
        }

        if (InstructionSet.VectorBits >= 512)
            PackLoop<TElement, TCode, Width512, Vector512<uint>>(rows, inverses, offsets, codes, finite);
        else if (InstructionSet.VectorBits >= 256)
            PackLoop<TElement, TCode, Width256, Vector256<uint>>(rows, inverses, offsets, codes, finite);
        else if (InstructionSet.VectorBits >= 128)
            PackLoop<TElement, TCode, Width128, Vector128<uint>>(rows, inverses, offsets, codes, finite);
        else
            for (int row = 0; row < rows.Count; row++)
                PackScalar<TElement, TCode>(
                    rows.Bytes, row * rows.StrideBytes, inverses[row], codes.Slice(row * rows.Length, rows.Length));
    }

    /// <summary>
    /// Unpacks whole rows; row r takes the scale at <c>r * scaleStep</c>. <paramref name="rows"/> is the geometry of
    /// <paramref name="destination"/>.
    /// </summary>
    internal static void UnpackRows<TElement, TCode>(
        ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, int scaleStep, PackingRows rows, Span<byte> destination)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        if (InstructionSet.VectorBits >= 512)
            UnpackLoop<TElement, TCode, Width512, Vector512<uint>>(codes, scales, scaleStep, rows, destination);
        else if (InstructionSet.VectorBits >= 256)
            UnpackLoop<TElement, TCode, Width256, Vector256<uint>>(codes, scales, scaleStep, rows, destination);
        else if (InstructionSet.VectorBits >= 128)
            UnpackLoop<TElement, TCode, Width128, Vector128<uint>>(codes, scales, scaleStep, rows, destination);
        else
            for (int row = 0; row < rows.Count; row++)
                UnpackScalar<TElement, TCode>(
                    codes.Slice(row * rows.Length, rows.Length), scales[row * scaleStep], destination, row * rows.StrideBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static bool LargestLoop<TElement, TWidth, TVector>(PackingRows rows, Span<float> largest)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte source = ref MemoryMarshal.GetReference(rows.Bytes);
        nuint rowBytes = (nuint)rows.Length * (nuint)TElement.SizeBytes;
        nuint step = (nuint)TWidth.Lanes * 4;
        TVector overall = TWidth.Create(0);
        uint overallTail = 0;
        for (int row = 0; row < rows.Count; row++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * (nuint)rows.StrideBytes);
            nuint i = 0;
            TVector even = TWidth.Create(0);
            TVector odd = TWidth.Create(0);
            for (; i + (4 * step) <= rowBytes; i += 4 * step)
            {
                even = TElement.MaxMagnitude<TWidth, TVector>(even, TWidth.Load32(ref from, i));
                odd = TElement.MaxMagnitude<TWidth, TVector>(odd, TWidth.Load32(ref from, i + step));
                even = TElement.MaxMagnitude<TWidth, TVector>(even, TWidth.Load32(ref from, i + (2 * step)));
                odd = TElement.MaxMagnitude<TWidth, TVector>(odd, TWidth.Load32(ref from, i + (3 * step)));
            }

            for (; i + step <= rowBytes; i += step)
                even = TElement.MaxMagnitude<TWidth, TVector>(even, TWidth.Load32(ref from, i));
            even = TElement.MaxMagnitude<TWidth, TVector>(even, odd);
            overall = TElement.MaxMagnitude<TWidth, TVector>(overall, even);
            uint amax = TElement.LargestBits<TWidth, TVector>(even);
            for (; i < rowBytes; i += (nuint)TElement.SizeBytes)
            {
                uint single = SingleAt<TElement>(rows.Bytes, (row * rows.StrideBytes) + (int)i);
                amax = Math.Max(amax, single & NarrowFloat.SingleMagnitude);
                overallTail = Math.Max(overallTail, amax);
            }

            largest[row] = BitConverter.UInt32BitsToSingle(amax);
        }

        return Math.Max(TElement.LargestBits<TWidth, TVector>(overall), overallTail) < NarrowFloat.SingleInfinity;
    }

    // A tail shorter than a whole step of the loop is packed by 128-bit vectors, and what is left of it one by one.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void PackLoop<TElement, TCode, TWidth, TVector>(
        PackingRows rows, ReadOnlySpan<float> inverses, ReadOnlySpan<uint> offsets, Span<byte> codes, bool finite)
        where TElement : IRowElement
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte source = ref MemoryMarshal.GetReference(rows.Bytes);
        ref byte target = ref MemoryMarshal.GetReference(codes);
        nuint length = (nuint)rows.Length;
        nuint size = (nuint)TElement.SizeBytes;
        nuint step = (nuint)TWidth.Lanes * 4;
        // What follows these rows in memory is mostly what is packed next: it comes while these are computed, not after.
        nuint ahead = (nuint)rows.Count * (nuint)rows.StrideBytes;
        ReadOnlySpan<uint> inverseBits = MemoryMarshal.Cast<float, uint>(inverses);
        for (int row = 0; row < rows.Count; row++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * (nuint)rows.StrideBytes);
            ref byte to = ref Unsafe.AddByteOffset(ref target, (nuint)row * length);
            float inverseOne = inverses[row];
            nuint i = 0;
            if (finite)
            {
                // As bits, they are broadcast straight from memory: a detour through a register is a wait in every row.
                TVector inverse = TWidth.Create(inverseBits[row]);
                var factors = new PackFactors<TVector>(inverse, inverse, TWidth.Create(offsets[row]));
                for (; i + step <= length; i += step)
                {
                    TWidth.Prefetch(ref from, (i * size) + ahead);
                    TCode.PackFinite<TElement, TWidth, TVector>(ref from, i * size, factors, factors, ref to, i);
                }

                if (i + 16 <= length)
                {
                    Vector128<uint> inverse128 = Vector128.Create(inverseBits[row]);
                    var factors128 = new PackFactors<Vector128<uint>>(inverse128, inverse128, Vector128.Create(offsets[row]));
                    for (; i + 16 <= length; i += 16)
                        TCode.PackFinite<TElement, Width128, Vector128<uint>>(ref from, i * size, factors128, factors128, ref to, i);
                }

                if (i < length && typeof(TElement) == typeof(BFloat16Element) && TCode.AnchorAdjustment != 0)
                    inverseOne /= TCode.AnchorAdjustment;
            }
            else
            {
                i = PackAnyRow<TElement, TCode, TWidth, TVector>(ref from, length, inverseOne, ref to);
            }

            if (i < length)
            {
                PackScalar<TElement, TCode>(
                    rows.Bytes,
                    (row * rows.StrideBytes) + ((int)i * TElement.SizeBytes),
                    inverseOne,
                    codes[((row * rows.Length) + (int)i)..((row + 1) * rows.Length)]);
            }
        }
    }

    /// <summary>Packs what fills vectors of one row and returns how many elements that was.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static nuint PackAnyRow<TElement, TCode, TWidth, TVector>(ref byte from, nuint length, float inverseOne, ref byte to)
        where TElement : IRowElement
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint size = (nuint)TElement.SizeBytes;
        nuint group = (nuint)TWidth.Lanes * 2;
        TVector inverse = TWidth.Create(BitConverter.SingleToUInt32Bits(inverseOne));
        nuint i = 0;
        for (; i + (2 * group) <= length; i += 2 * group)
        {
            TVector first = TCode.Encode<TElement, TWidth, TVector>(ref from, i * size, inverse, inverse);
            TVector second = TCode.Encode<TElement, TWidth, TVector>(ref from, (i + group) * size, inverse, inverse);
            TWidth.StoreBytes(first, second, ref to, i);
        }

        Vector128<uint> inverse128 = Vector128.Create(BitConverter.SingleToUInt32Bits(inverseOne));
        for (; i + 16 <= length; i += 16)
        {
            Vector128<uint> first = TCode.Encode<TElement, Width128, Vector128<uint>>(ref from, i * size, inverse128, inverse128);
            Vector128<uint> second = TCode.Encode<TElement, Width128, Vector128<uint>>(ref from, (i + 8) * size, inverse128, inverse128);
            Width128.StoreBytes(first, second, ref to, i);
        }

        return i;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void UnpackLoop<TElement, TCode, TWidth, TVector>(
        ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, int scaleStep, PackingRows rows, Span<byte> destination)
        where TElement : IRowElement
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte source = ref MemoryMarshal.GetReference(codes);
        ref byte target = ref MemoryMarshal.GetReference(destination);
        nuint length = (nuint)rows.Length;
        nuint size = (nuint)TElement.SizeBytes;
        nuint group = (nuint)TWidth.Lanes * 2;
        bool tabled = typeof(TElement) == typeof(BFloat16Element) && TCode.MantissaBits != 0;
        Unsafe.SkipInit(out Fp8RowTables.Buffer buffer);
        ref byte tables = ref Unsafe.As<Fp8RowTables.Buffer, byte>(ref buffer);
        ReadOnlySpan<uint> scaleBits = MemoryMarshal.Cast<float, uint>(scales);
        for (int row = 0; row < rows.Count; row++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * length);
            ref byte to = ref Unsafe.AddByteOffset(ref target, (nuint)row * (nuint)rows.StrideBytes);
            float scaleOne = scales[row * scaleStep];
            nuint i = 0;
            if (tabled && row % Fp8RowTables.BufferRows == 0)
            {
                int end = Math.Min(row + Fp8RowTables.BufferRows, rows.Count);
                for (int ahead = row; ahead < end; ahead++)
                {
                    Fp8RowTables.Write<TCode>(
                        scales[ahead * scaleStep], ref Unsafe.AddByteOffset(ref tables, (nuint)((ahead - row) * Fp8RowTables.Bytes)));
                }
            }

            if (IsOrdinary(scaleOne))
            {
                if (tabled && Fp8RowTables.Covers(scaleOne))
                {
                    int slot = row % Fp8RowTables.BufferRows;
                    i = Fp8RowTables.Unpack<TCode, TWidth, TVector>(
                        ref from, length, ref Unsafe.AddByteOffset(ref tables, (nuint)(slot * Fp8RowTables.Bytes)), ref to);
                }

                TVector unit = TWidth.Create(BitConverter.SingleToUInt32Bits(TCode.DecodedUnit));
                TVector scale = TWidth.MultiplySingle(TWidth.Create(scaleBits[row * scaleStep]), unit);
                for (; i + group <= length; i += group)
                {
                    TCode.Decode<TWidth, TVector>(ref from, i, out TVector even, out TVector odd);
                    TElement.StorePairs<TWidth, TVector>(
                        TWidth.MultiplySingle(even, scale), TWidth.MultiplySingle(odd, scale), ref to, i * size);
                }

                Vector128<uint> scale128 = Vector128.Create(BitConverter.SingleToUInt32Bits(scaleOne * TCode.DecodedUnit));
                for (; i + 8 <= length; i += 8)
                {
                    TCode.Decode<Width128, Vector128<uint>>(ref from, i, out Vector128<uint> even, out Vector128<uint> odd);
                    TElement.StorePairs<Width128, Vector128<uint>>(
                        Width128.MultiplySingle(even, scale128), Width128.MultiplySingle(odd, scale128), ref to, i * size);
                }
            }

            if (i < length)
            {
                UnpackScalar<TElement, TCode>(
                    codes[((row * rows.Length) + (int)i)..((row + 1) * rows.Length)],
                    scaleOne,
                    destination,
                    (row * rows.StrideBytes) + ((int)i * TElement.SizeBytes));
            }
        }
    }

    /// <summary>
    /// Whether the bulk loops may use a scale: finite, so that no NaN has low bits, which their rounding does not expect, and far
    /// enough from the subnormal numbers to be multiplied by a code's unit.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool IsOrdinary(float scale) => Math.Abs(scale) is >= 7.8886091e-31f and <= float.MaxValue; // 2^-100
}
