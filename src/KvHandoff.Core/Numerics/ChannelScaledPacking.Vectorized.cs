using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

public static partial class ChannelScaledPacking
{
    // Channels packed together: what their factors take of the stack, and of the first-level cache, is bounded by it.
    const int ChunkChannels = 256;

    /// <summary>Packs up to <see cref="ChunkChannels"/> channels; <paramref name="codeStride"/> codes lie between rows.</summary>
    static void PackChunk<TElement, TCode>(PackingRows rows, ReadOnlySpan<float> inverses, Span<byte> codes, int codeStride)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        int done = 0;
        if (InstructionSet.VectorBits >= 128)
        {
            // The inverses may be others than these rows': their own magnitudes say whether anything saturates.
            Span<float> largest = stackalloc float[ChunkChannels];
            largest = largest[..inverses.Length];
            largest.Clear();
            bool finite = Accumulate<TElement>(rows, largest) == PackFlags.None
                && Fp8Anchors.Fits(largest, inverses, TCode.LargestCode);
            scoped ReadOnlySpan<float> factors = inverses;
            Span<uint> offsets = stackalloc uint[ChunkChannels];
            if (finite && typeof(TElement) == typeof(BFloat16Element) && TCode.AnchorAdjustment != 0)
            {
                // The magnitudes have served their purpose.
                Fp8Anchors.Compute(inverses, TCode.AnchorAdjustment, TCode.AnchorOfOne, largest, offsets);
                factors = largest;
            }

            if (InstructionSet.VectorBits >= 512)
                done = PackLoop<TElement, TCode, Width512, Vector512<uint>>(rows, done, factors, offsets, codes, codeStride, finite);
            if (InstructionSet.VectorBits >= 256)
                done = PackLoop<TElement, TCode, Width256, Vector256<uint>>(rows, done, factors, offsets, codes, codeStride, finite);
            done = PackLoop<TElement, TCode, Width128, Vector128<uint>>(rows, done, factors, offsets, codes, codeStride, finite);
        }

        PackScalar<TElement, TCode>(rows, done, inverses, codes, codeStride);
    }

    /// <summary>Unpacks up to <see cref="ChunkChannels"/> channels; <paramref name="codeStride"/> codes lie between rows.</summary>
    static void UnpackChunk<TElement, TCode>(
        ReadOnlySpan<byte> codes, int codeStride, ReadOnlySpan<float> scales, PackingRows rows, Span<byte> destination)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        bool ordinary = true;
        foreach (float scale in scales)
            ordinary &= RowScaledPacking.IsOrdinary(scale);
        int done = 0;
        if (ordinary && InstructionSet.VectorBits >= 512)
            done = UnpackLoop<TElement, TCode, Width512, Vector512<uint>>(codes, codeStride, done, scales, rows, destination);
        if (ordinary && InstructionSet.VectorBits >= 256)
            done = UnpackLoop<TElement, TCode, Width256, Vector256<uint>>(codes, codeStride, done, scales, rows, destination);
        if (ordinary && InstructionSet.VectorBits >= 128)
            done = UnpackLoop<TElement, TCode, Width128, Vector128<uint>>(codes, codeStride, done, scales, rows, destination);
        UnpackScalar<TElement, TCode>(codes, codeStride, done, scales, rows, destination);
    }

    // Row by row, as memory lies; what the channels are multiplied by is laid out beforehand as the vectors want it.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int PackLoop<TElement, TCode, TWidth, TVector>(
        PackingRows rows,
        int first,
        ReadOnlySpan<float> inverses,
        ReadOnlySpan<uint> offsets,
        Span<byte> codes,
        int codeStride,
        bool finite)
        where TElement : IRowElement
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        Unsafe.SkipInit(out FactorBuffer buffer);
        ref byte factors = ref Unsafe.As<FactorBuffer, byte>(ref buffer);
        nuint bytes = (nuint)TWidth.Lanes * 4;
        nuint group = (nuint)TWidth.Lanes * 2;
        nuint start = (nuint)first;
        nuint end = start;
        nuint at = 0;
        for (; end + (2 * group) <= (nuint)rows.Length; end += 2 * group)
        {
            at = LayFactors<TWidth, TVector>(inverses, offsets, end, ref factors, at);
            at = LayFactors<TWidth, TVector>(inverses, offsets, end + group, ref factors, at);
        }

        ref byte source = ref MemoryMarshal.GetReference(rows.Bytes);
        ref byte destination = ref MemoryMarshal.GetReference(codes);
        nuint size = (nuint)TElement.SizeBytes;
        nuint ahead = (nuint)rows.Count * (nuint)rows.StrideBytes;
        for (int row = 0; row < rows.Count; row++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * (nuint)rows.StrideBytes);
            ref byte to = ref Unsafe.AddByteOffset(ref destination, (nuint)row * (nuint)codeStride);
            nuint i = start;
            at = 0;
            if (finite)
            {
                for (; i < end; i += 2 * group, at += 6 * bytes)
                {
                    // What follows these rows in memory is mostly what is packed next.
                    TWidth.Prefetch(ref from, (i * size) + ahead);
                    TCode.PackFinite<TElement, TWidth, TVector>(
                        ref from,
                        i * size,
                        FactorsAt<TWidth, TVector>(ref factors, at),
                        FactorsAt<TWidth, TVector>(ref factors, at + (3 * bytes)),
                        ref to,
                        i);
                }
            }

            for (; i < end; i += 2 * group, at += 6 * bytes)
            {
                PackFactors<TVector> low = FactorsAt<TWidth, TVector>(ref factors, at);
                PackFactors<TVector> high = FactorsAt<TWidth, TVector>(ref factors, at + (3 * bytes));
                TVector lowCodes = TCode.Encode<TElement, TWidth, TVector>(ref from, i * size, low.Even, low.Odd);
                TVector highCodes = TCode.Encode<TElement, TWidth, TVector>(ref from, (i + group) * size, high.Even, high.Odd);
                TWidth.StoreBytes(lowCodes, highCodes, ref to, i);
            }
        }

        return (int)end;
    }

    /// <summary>Lays out the factors of one group of channels and returns where the next ones go.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static nuint LayFactors<TWidth, TVector>(
        ReadOnlySpan<float> inverses, ReadOnlySpan<uint> offsets, nuint channel, ref byte factors, nuint at)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint bytes = (nuint)TWidth.Lanes * 4;
        ref byte numbers = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(inverses));
        ref byte shifts = ref Unsafe.As<uint, byte>(ref MemoryMarshal.GetReference(offsets));
        SingleElement.LoadPairs<TWidth, TVector>(ref numbers, channel * 4, out TVector even, out TVector odd);
        SingleElement.LoadPairs<TWidth, TVector>(ref shifts, channel * 4, out TVector evenOffsets, out TVector oddOffsets);
        TWidth.Store32(even, ref factors, at);
        TWidth.Store32(odd, ref factors, at + bytes);
        TWidth.Store32(TWidth.JoinHalves(evenOffsets, oddOffsets), ref factors, at + (2 * bytes));
        return at + (3 * bytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static PackFactors<TVector> FactorsAt<TWidth, TVector>(ref byte factors, nuint at)
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint bytes = (nuint)TWidth.Lanes * 4;
        return new(TWidth.Load32(ref factors, at), TWidth.Load32(ref factors, at + bytes), TWidth.Load32(ref factors, at + (2 * bytes)));
    }

    // Three vectors for as many channels as they have 16-bit lanes.
    [InlineArray(ChunkChannels * 3 / 2)]
    struct FactorBuffer
    {
        uint first;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int UnpackLoop<TElement, TCode, TWidth, TVector>(
        ReadOnlySpan<byte> codes, int codeStride, int first, ReadOnlySpan<float> scales, PackingRows rows, Span<byte> destination)
        where TElement : IRowElement
        where TCode : IPackedCode
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        Unsafe.SkipInit(out FactorBuffer buffer);
        ref byte factors = ref Unsafe.As<FactorBuffer, byte>(ref buffer);
        ref byte numbers = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(scales));
        TVector unit = TWidth.Create(BitConverter.SingleToUInt32Bits(TCode.DecodedUnit));
        nuint bytes = (nuint)TWidth.Lanes * 4;
        nuint group = (nuint)TWidth.Lanes * 2;
        nuint start = (nuint)first;
        nuint end = start;
        for (nuint at = 0; end + group <= (nuint)rows.Length; end += group, at += 2 * bytes)
        {
            SingleElement.LoadPairs<TWidth, TVector>(ref numbers, end * 4, out TVector scaleEven, out TVector scaleOdd);
            TWidth.Store32(TWidth.MultiplySingle(scaleEven, unit), ref factors, at);
            TWidth.Store32(TWidth.MultiplySingle(scaleOdd, unit), ref factors, at + bytes);
        }

        ref byte source = ref MemoryMarshal.GetReference(codes);
        ref byte target = ref MemoryMarshal.GetReference(destination);
        nuint size = (nuint)TElement.SizeBytes;
        for (int row = 0; row < rows.Count; row++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * (nuint)codeStride);
            ref byte to = ref Unsafe.AddByteOffset(ref target, (nuint)row * (nuint)rows.StrideBytes);
            nuint at = 0;
            for (nuint i = start; i < end; i += group, at += 2 * bytes)
            {
                TCode.Decode<TWidth, TVector>(ref from, i, out TVector even, out TVector odd);
                TElement.StorePairs<TWidth, TVector>(
                    TWidth.MultiplySingle(even, TWidth.Load32(ref factors, at)),
                    TWidth.MultiplySingle(odd, TWidth.Load32(ref factors, at + bytes)),
                    ref to,
                    i * size);
            }
        }

        return (int)end;
    }
}
