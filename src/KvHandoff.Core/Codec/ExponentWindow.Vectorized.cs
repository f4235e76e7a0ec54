using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    // A kernel may write this many bytes of escapes behind those that it counts, and read as many behind those there are.
    const int EscapeSlack = 64;

    const int MaxKernelValues = 64;

    // How far ahead rows are asked for: from main memory 1.1 times the speed of decoding without.
    const int PrefetchBytes = 4096;

    static int EncodeRows(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> largest, Span<byte> encoded)
    {
#if NET10_0_OR_GREATER
        if (InstructionSet.VectorBits >= 512 && Avx512Vbmi.IsSupported && Avx512Vbmi2.IsSupported)
            return EncodeRows<Window512<Bytes512>>(source, rows, largest, encoded);
#endif
        if (InstructionSet.VectorBits >= 256 && Avx2.IsSupported)
            return EncodeRows<Window256>(source, rows, largest, encoded);
        if (InstructionSet.VectorBits >= 128)
            return EncodeRows<Window128>(source, rows, largest, encoded);
        return EncodeRows<NoWindow>(source, rows, largest, encoded);
    }

    /// <summary>Escapes that the codes mark, which may be more than there are.</summary>
    static int DecodeWindow(ReadOnlySpan<byte> encoded, in TileRows rows, Span<byte> destination, int escapes)
    {
#if NET10_0_OR_GREATER
        if (InstructionSet.VectorBits >= 512 && Avx512Vbmi.IsSupported && Avx512Vbmi2.IsSupported)
            return DecodeRows<Window512<Bytes512>>(encoded, rows, destination, escapes);
#endif
        if (InstructionSet.VectorBits >= 256 && Avx2.IsSupported)
            return DecodeRows<Window256>(encoded, rows, destination, escapes);
        if (InstructionSet.VectorBits >= 128)
            return DecodeRows<Window128>(encoded, rows, destination, escapes);
        return DecodeRows<NoWindow>(encoded, rows, destination, escapes);
    }

    /// <summary>Escapes of the tile, or the limit of them as soon as it is reached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    internal static int EncodeRows<TKernel>(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> largest, Span<byte> encoded)
        where TKernel : IWindowKernel
    {
        int dim = rows.Dim;
        int limit = rows.EscapeLimit;
        int vectorDim = VectorPart(dim, TKernel.Values);
        int stride = rows.StrideBytes;
        var prefetch = new RowPrefetch(rows);
        nuint codeBytes = (nuint)rows.CodeBytes;
        nuint encodedRowBytes = (nuint)rows.EncodedRowBytes;
        Span<byte> exponents = stackalloc byte[MaxKernelValues + 1];
        ref byte exponentsAt = ref MemoryMarshal.GetReference(exponents);
        ref byte bases = ref At(ref MemoryMarshal.GetReference(encoded), WindowHeaderBytes);
        ref byte escapeStart = ref At(ref MemoryMarshal.GetReference(encoded), (nuint)rows.EscapeOffset);
        ref byte row = ref MemoryMarshal.GetReference(source);
        ref byte encodedRow = ref At(ref MemoryMarshal.GetReference(encoded), (nuint)rows.RowOffset);
        int escapes = 0;
        for (int token = 0; token < rows.Tokens && escapes < limit; token++)
        {
            // Where the row might fill the room for escapes, they are written one by one.
            bool hasRoom = escapes + dim + EscapeSlack <= limit;
            if (hasRoom)
            {
                nint ahead = prefetch.Ahead(token);
                ref byte rowAt = ref row;
                ref byte basesAt = ref bases;
                ref byte largestAt = ref MemoryMarshal.GetReference(largest);
                ref byte codesAt = ref encodedRow;
                ref byte signMantissaAt = ref At(ref encodedRow, codeBytes);
                ref byte escapeAt = ref At(ref escapeStart, (nuint)escapes);
                for (int left = vectorDim; left > 0; left -= TKernel.Values)
                {
                    PrefetchAhead(ref rowAt, ahead, 2 * TKernel.Values);
                    nuint found = TKernel.Encode(
                        ref rowAt, ref basesAt, ref largestAt, ref codesAt, ref signMantissaAt, ref escapeAt, ref exponentsAt);
                    escapeAt = ref At(ref escapeAt, found);
                    rowAt = ref At(ref rowAt, 2 * (nuint)TKernel.Values);
                    basesAt = ref At(ref basesAt, (nuint)TKernel.Values);
                    largestAt = ref At(ref largestAt, (nuint)TKernel.Values);
                    codesAt = ref At(ref codesAt, (nuint)TKernel.Values / 8 * 3);
                    signMantissaAt = ref At(ref signMantissaAt, (nuint)TKernel.Values);
                }

                escapes = (int)Unsafe.ByteOffset(ref escapeStart, ref escapeAt);
            }

            if (!hasRoom || vectorDim < dim)
            {
                escapes = EncodeRest(
                    source.Slice(token * stride, rows.RawRowBytes), hasRoom ? vectorDim : 0, hasRoom && TKernel.Values != 0, largest, encoded,
                    rows, token, escapes);
            }

            row = ref At(ref row, (nuint)stride);
            encodedRow = ref At(ref encodedRow, encodedRowBytes);
        }

        return escapes;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    internal static int DecodeRows<TKernel>(ReadOnlySpan<byte> encoded, in TileRows rows, Span<byte> destination, int escapes)
        where TKernel : IWindowKernel
    {
        int dim = rows.Dim;
        int vectorDim = VectorPart(dim, TKernel.Values);
        int stride = rows.StrideBytes;
        var prefetch = new RowPrefetch(rows);
        nuint codeBytes = (nuint)rows.CodeBytes;
        nuint encodedRowBytes = (nuint)rows.EncodedRowBytes;
        // The end of the escapes moves here, so that a row may read on behind them: codes that mark too many are found after the row.
        Span<byte> escapeEnd = stackalloc byte[2 * (dim + EscapeSlack)];
        scoped ReadOnlySpan<byte> escape = encoded.Slice(rows.EscapeOffset, escapes);
        ref byte bases = ref At(ref MemoryMarshal.GetReference(encoded), WindowHeaderBytes);
        ref byte encodedRow = ref At(ref MemoryMarshal.GetReference(encoded), (nuint)rows.RowOffset);
        ref byte row = ref MemoryMarshal.GetReference(destination);
        int usedBefore = 0;
        bool atEnd = false;
        int used = 0;
        for (int token = 0; token < rows.Tokens && used <= escape.Length; token++)
        {
            if (!atEnd && escape.Length - used < dim + EscapeSlack)
            {
                escape[used..].CopyTo(escapeEnd);
                escapeEnd[(escape.Length - used)..].Clear();
                escape = escapeEnd[..(escape.Length - used)];
                usedBefore = used;
                used = 0;
                atEnd = true;
            }

            nint ahead = prefetch.Ahead(token);
            ref byte rowAt = ref row;
            ref byte basesAt = ref bases;
            ref byte codesAt = ref encodedRow;
            ref byte signMantissaAt = ref At(ref encodedRow, codeBytes);
            ref byte escapeStart = ref MemoryMarshal.GetReference(escape);
            ref byte escapeAt = ref At(ref escapeStart, (nuint)used);
            for (int left = vectorDim; left > 0; left -= TKernel.Values)
            {
                PrefetchAhead(ref rowAt, ahead, 2 * TKernel.Values);
                PrefetchAhead(ref signMantissaAt, PrefetchBytes, TKernel.Values);
                nuint found = TKernel.Decode(ref codesAt, ref signMantissaAt, ref basesAt, ref escapeAt, ref rowAt);
                escapeAt = ref At(ref escapeAt, found);
                rowAt = ref At(ref rowAt, 2 * (nuint)TKernel.Values);
                basesAt = ref At(ref basesAt, (nuint)TKernel.Values);
                codesAt = ref At(ref codesAt, (nuint)TKernel.Values / 8 * 3);
                signMantissaAt = ref At(ref signMantissaAt, (nuint)TKernel.Values);
            }

            used = (int)Unsafe.ByteOffset(ref escapeStart, ref escapeAt);
            if (vectorDim < dim)
            {
                used = DecodeRest(
                    encoded, rows, token, vectorDim, TKernel.Values != 0, escape, used, destination.Slice(token * stride, rows.RawRowBytes));
            }

            row = ref At(ref row, (nuint)stride);
            encodedRow = ref At(ref encodedRow, encodedRowBytes);
        }

        return usedBefore + used;
    }

    // The channels of a row that no whole call of a kernel covers: sixteen at a time, then one by one.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static int EncodeRest(
        ReadOnlySpan<byte> row, int channel, bool vectors, Span<byte> largest, Span<byte> encoded, in TileRows rows, int token, int escapes)
    {
        ReadOnlySpan<byte> bases = encoded.Slice(WindowHeaderBytes, rows.Dim);
        Span<byte> encodedRow = encoded.Slice(rows.RowOffset + token * rows.EncodedRowBytes, rows.EncodedRowBytes);
        Span<byte> escape = encoded.Slice(rows.EscapeOffset, rows.EscapeLimit);
        int end = vectors ? VectorPart(rows.Dim, Window128.Values) : 0;
        ref byte codes = ref MemoryMarshal.GetReference(encodedRow);
        for (; channel < end; channel += Window128.Values)
        {
            nuint c = (nuint)channel;
            escapes += (int)Window128.Encode(
                ref At(ref MemoryMarshal.GetReference(row), 2 * c), ref At(ref MemoryMarshal.GetReference(bases), c),
                ref At(ref MemoryMarshal.GetReference(largest), c), ref At(ref codes, c / 8 * 3), ref At(ref codes, (nuint)rows.CodeBytes + c),
                ref At(ref MemoryMarshal.GetReference(escape), (nuint)escapes), ref codes);
        }

        return channel < rows.Dim ? EncodeRowScalar(row, channel, bases, largest, encodedRow, escape, escapes) : escapes;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static int DecodeRest(
        ReadOnlySpan<byte> encoded, in TileRows rows, int token, int channel, bool vectors, ReadOnlySpan<byte> escape, int used, Span<byte> row)
    {
        ReadOnlySpan<byte> bases = encoded.Slice(WindowHeaderBytes, rows.Dim);
        ReadOnlySpan<byte> encodedRow = encoded.Slice(rows.RowOffset + token * rows.EncodedRowBytes, rows.EncodedRowBytes);
        int end = vectors ? VectorPart(rows.Dim, Window128.Values) : 0;
        ref byte codes = ref MemoryMarshal.GetReference(encodedRow);
        for (; channel < end; channel += Window128.Values)
        {
            nuint c = (nuint)channel;
            used += (int)Window128.Decode(
                ref At(ref codes, c / 8 * 3), ref At(ref codes, (nuint)rows.CodeBytes + c), ref At(ref MemoryMarshal.GetReference(bases), c),
                ref At(ref MemoryMarshal.GetReference(escape), (nuint)used), ref At(ref MemoryMarshal.GetReference(row), 2 * c));
        }

        return channel < rows.Dim ? DecodeRowScalar(encodedRow, channel, bases, escape, used, row) : used;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Raise(ReadOnlySpan<byte> row, Span<byte> largest)
    {
        int channel = 0;
        if (InstructionSet.VectorBits >= 128)
        {
            ref byte rowRef = ref MemoryMarshal.GetReference(row);
            ref byte largestRef = ref MemoryMarshal.GetReference(largest);
            bool wide = InstructionSet.VectorBits >= 256 && Avx2.IsSupported;
            for (; wide && channel + Window256.Values <= largest.Length; channel += Window256.Values)
                Window256.Raise(ref At(ref rowRef, 2 * (nuint)channel), ref At(ref largestRef, (nuint)channel));
            for (; channel + Window128.Values <= largest.Length; channel += Window128.Values)
                Window128.Raise(ref At(ref rowRef, 2 * (nuint)channel), ref At(ref largestRef, (nuint)channel));
        }

        RaiseScalar(row, channel, largest);
    }

    // 64 bytes are a cache line. An address that nothing is mapped at does no harm.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static unsafe void PrefetchAhead(ref byte at, nint ahead, int bytes)
    {
        if (!Sse.IsSupported) return;
        byte* line = (byte*)Unsafe.AsPointer(ref at) + ahead;
        Sse.Prefetch0(line);
        if (bytes > 64) Sse.Prefetch0(line + 64);
    }

    static int VectorPart(int dim, int values) => values == 0 ? 0 : dim / values * values;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static ref byte At(ref byte start, nuint bytes) => ref Unsafe.AddByteOffset(ref start, bytes);

    /// <summary>Which row to ask for while another one is coded.</summary>
    readonly struct RowPrefetch
    {
        readonly int _rows;
        readonly int _tokens;
        readonly nint _bytes;

        public RowPrefetch(in TileRows rows)
        {
            _rows = Math.Max(1, PrefetchBytes / rows.RawRowBytes);
            _bytes = _rows * (nint)rows.StrideBytes;
            // Behind rows without gaps the next tile's are likely to follow.
            _tokens = rows.StrideBytes == rows.RawRowBytes ? int.MaxValue : rows.Tokens;
        }

        /// <summary>Bytes from a row to the one to ask for; 0 where there is none.</summary>
        public nint Ahead(int token) => token + _rows < _tokens ? _bytes : 0;
    }
}
