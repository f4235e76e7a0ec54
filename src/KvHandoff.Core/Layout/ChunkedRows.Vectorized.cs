using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

public static partial class ChunkedRows
{
    private const int CacheLineBytes = 64;

    /// <summary>False, and nothing written, where the matrix is smaller than a tile or the element has no kernel.</summary>
    private static bool TransposeVectors(
        ReadOnlySpan<byte> source, int sourceStride, int rows, int columns, int elementBytes, Span<byte> destination, int destinationStride, bool byColumn)
    {
        if (InstructionSet.VectorBits < 128 || !Lanes128.IsSupported) return false;
        var matrix = new Matrix
        {
            SourceStride = (nuint)sourceStride,
            DestinationStride = (nuint)destinationStride,
            Rows = rows,
            Columns = columns,
            ElementBytes = elementBytes,
            ByColumn = byColumn,
        };
        ref byte from = ref MemoryMarshal.GetReference(source);
        ref byte to = ref MemoryMarshal.GetReference(destination);
        if (elementBytes == Vector128<byte>.Count)
        {
            CopyChunks(ref from, ref to, matrix);
            return true;
        }

        int tile = Vector128<byte>.Count / elementBytes;
        if (elementBytes is not (1 or 2 or 4) || rows < tile || columns < tile) return false;
        if (InstructionSet.VectorBits >= 256 && Avx2.IsSupported && rows >= 2 * tile) TransposeTiles<Lanes256, Vector256<byte>>(ref from, ref to, matrix);
        else TransposeTiles<Lanes128, Vector128<byte>>(ref from, ref to, matrix);
        return true;
    }

    // Four rows of chunks at a time fill a cache line of the destination.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void CopyChunks(ref byte source, ref byte destination, in Matrix matrix)
    {
        (int rows, int columns, nuint stride) = (matrix.Rows & ~3, matrix.Columns, matrix.SourceStride);
        (int outer, int inner) = matrix.ByColumn ? (columns, rows / 4) : (rows / 4, columns);
        nuint fromOuter = matrix.ByColumn ? 16 : 4 * stride, fromInner = matrix.ByColumn ? 4 * stride : 16;
        nuint toOuter = matrix.ByColumn ? matrix.DestinationStride : 64, toInner = matrix.ByColumn ? 64 : matrix.DestinationStride;
        // Every step copies a line and asks for one: of the next four rows of a block that is read, of the next row of one that is written.
        nuint ahead = matrix.ByColumn ? toOuter : fromOuter, aheadRow = matrix.ByColumn ? 0 : stride;
        for (int o = 0; o < outer; o++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)o * fromOuter);
            ref byte to = ref Unsafe.AddByteOffset(ref destination, (nuint)o * toOuter);
            for (int i = 0; i < inner; i++)
            {
                if (Sse.IsSupported) Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref matrix.ByColumn ? ref to : ref from, ahead + (nuint)(i & 3) * aheadRow)));
                Vector128<byte> x0 = Vector128.LoadUnsafe(ref from), x1 = Vector128.LoadUnsafe(ref from, stride);
                Vector128<byte> x2 = Vector128.LoadUnsafe(ref from, 2 * stride), x3 = Vector128.LoadUnsafe(ref from, 3 * stride);
                x0.StoreUnsafe(ref to);
                x1.StoreUnsafe(ref to, 16);
                x2.StoreUnsafe(ref to, 32);
                x3.StoreUnsafe(ref to, 48);
                from = ref Unsafe.AddByteOffset(ref from, fromInner);
                to = ref Unsafe.AddByteOffset(ref to, toInner);
            }
        }

        for (int r = rows; r < matrix.Rows; r++)
        {
            ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)r * stride);
            ref byte to = ref Unsafe.AddByteOffset(ref destination, (nuint)r * 16);
            for (int c = 0; c < columns; c++)
                Vector128.LoadUnsafe(ref from, (nuint)c * 16).StoreUnsafe(ref to, (nuint)c * matrix.DestinationStride);
        }
    }

    // The last tile of a row or column begins where it still fits: what it has in common with the one before is written twice.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransposeTiles<TLanes, TVector>(ref byte source, ref byte destination, in Matrix matrix)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        int tileColumns = Vector128<byte>.Count / matrix.ElementBytes, tileRows = TLanes.Count * tileColumns;
        int lastRow = matrix.Rows - tileRows, lastColumn = matrix.Columns - tileColumns;
        if (matrix.ByColumn)
        {
            var ahead = new Prefetch(tileColumns, matrix.Rows, tileRows, matrix.ElementBytes, matrix.DestinationStride);
            for (int c = 0; c < matrix.Columns; c += tileColumns)
            {
                int column = Math.Min(c, lastColumn);
                for (int r = 0, i = 0; r < matrix.Rows; r += tileRows, i++)
                {
                    ahead.Share(ref destination, column, i);
                    Tile<TLanes, TVector>(ref source, ref destination, matrix, Math.Min(r, lastRow), column);
                }
            }
        }
        else
        {
            var ahead = new Prefetch(tileRows, matrix.Columns, tileColumns, matrix.ElementBytes, matrix.SourceStride);
            for (int r = 0; r < matrix.Rows; r += tileRows)
            {
                int row = Math.Min(r, lastRow);
                for (int c = 0, i = 0; c < matrix.Columns; c += tileColumns, i++)
                {
                    ahead.Share(ref source, row, i);
                    Tile<TLanes, TVector>(ref source, ref destination, matrix, row, Math.Min(c, lastColumn));
                }
            }
        }
    }

    /// <summary>
    /// Asks for the rows of the block behind a row of tiles while it is walked, a share with every tile: short pieces at a distance, which
    /// the processor does not foresee. Behind the last ones most often lie those of the next head.
    /// </summary>
    private readonly struct Prefetch(int tileRows, int elements, int tileElements, int elementBytes, nuint strideBytes)
    {
        private readonly int _tiles = (elements + tileElements - 1) / tileElements, _rowBytes = elements * elementBytes, _step = Math.Max(1, CacheLineBytes / Math.Max(1, (int)strideBytes));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal unsafe void Share(ref byte block, int row, int tile)
        {
            if (!Sse.IsSupported) return;
            int first = tile * tileRows / _tiles, end = (tile + 1) * tileRows / _tiles;
            for (int i = first; i < end; i += _step)
            {
                ref byte at = ref Unsafe.AddByteOffset(ref block, (nuint)(row + tileRows + i) * strideBytes);
                for (int b = 0; b < _rowBytes; b += CacheLineBytes) Sse.Prefetch1(Unsafe.AsPointer(ref Unsafe.AddByteOffset(ref at, (nuint)b)));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile<TLanes, TVector>(ref byte source, ref byte destination, in Matrix matrix, int row, int column)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        ref byte from = ref Unsafe.AddByteOffset(ref source, (nuint)row * matrix.SourceStride + (nuint)(column * matrix.ElementBytes));
        ref byte to = ref Unsafe.AddByteOffset(ref destination, (nuint)column * matrix.DestinationStride + (nuint)(row * matrix.ElementBytes));
        switch (matrix.ElementBytes)
        {
            case 1: Tile8<TLanes, TVector>(ref from, matrix.SourceStride, ref to, matrix.DestinationStride); break;
            case 2: Tile16<TLanes, TVector>(ref from, matrix.SourceStride, ref to, matrix.DestinationStride); break;
            default: Tile32<TLanes, TVector>(ref from, matrix.SourceStride, ref to, matrix.DestinationStride); break;
        }
    }

    private readonly struct Matrix
    {
        internal nuint SourceStride { get; init; }

        internal nuint DestinationStride { get; init; }

        internal int Rows { get; init; }

        internal int Columns { get; init; }

        internal int ElementBytes { get; init; }

        internal bool ByColumn { get; init; }
    }

    // Zipping row i with row i + n / 2, log2(n) times, transposes n x n elements.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile32<TLanes, TVector>(ref byte source, nuint stride, ref byte destination, nuint destinationStride)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        nuint lane = 4 * stride;
        TVector x0 = Row<TLanes, TVector>(ref source, stride, 0, lane), x1 = Row<TLanes, TVector>(ref source, stride, 1, lane);
        TVector x2 = Row<TLanes, TVector>(ref source, stride, 2, lane), x3 = Row<TLanes, TVector>(ref source, stride, 3, lane);
        TVector y0 = TLanes.ZipLow32(x0, x2), y1 = TLanes.ZipHigh32(x0, x2), y2 = TLanes.ZipLow32(x1, x3), y3 = TLanes.ZipHigh32(x1, x3);
        Put<TLanes, TVector>(TLanes.ZipLow32(y0, y2), ref destination, destinationStride, 0);
        Put<TLanes, TVector>(TLanes.ZipHigh32(y0, y2), ref destination, destinationStride, 1);
        Put<TLanes, TVector>(TLanes.ZipLow32(y1, y3), ref destination, destinationStride, 2);
        Put<TLanes, TVector>(TLanes.ZipHigh32(y1, y3), ref destination, destinationStride, 3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile16<TLanes, TVector>(ref byte source, nuint stride, ref byte destination, nuint destinationStride)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        nuint lane = 8 * stride;
        TVector x0 = Row<TLanes, TVector>(ref source, stride, 0, lane), x1 = Row<TLanes, TVector>(ref source, stride, 1, lane);
        TVector x2 = Row<TLanes, TVector>(ref source, stride, 2, lane), x3 = Row<TLanes, TVector>(ref source, stride, 3, lane);
        TVector x4 = Row<TLanes, TVector>(ref source, stride, 4, lane), x5 = Row<TLanes, TVector>(ref source, stride, 5, lane);
        TVector x6 = Row<TLanes, TVector>(ref source, stride, 6, lane), x7 = Row<TLanes, TVector>(ref source, stride, 7, lane);
        TVector y0 = TLanes.ZipLow16(x0, x4), y1 = TLanes.ZipHigh16(x0, x4), y2 = TLanes.ZipLow16(x1, x5), y3 = TLanes.ZipHigh16(x1, x5);
        TVector y4 = TLanes.ZipLow16(x2, x6), y5 = TLanes.ZipHigh16(x2, x6), y6 = TLanes.ZipLow16(x3, x7), y7 = TLanes.ZipHigh16(x3, x7);
        x0 = TLanes.ZipLow16(y0, y4);
        x1 = TLanes.ZipHigh16(y0, y4);
        x2 = TLanes.ZipLow16(y1, y5);
        x3 = TLanes.ZipHigh16(y1, y5);
        x4 = TLanes.ZipLow16(y2, y6);
        x5 = TLanes.ZipHigh16(y2, y6);
        x6 = TLanes.ZipLow16(y3, y7);
        x7 = TLanes.ZipHigh16(y3, y7);
        Put<TLanes, TVector>(TLanes.ZipLow16(x0, x4), ref destination, destinationStride, 0);
        Put<TLanes, TVector>(TLanes.ZipHigh16(x0, x4), ref destination, destinationStride, 1);
        Put<TLanes, TVector>(TLanes.ZipLow16(x1, x5), ref destination, destinationStride, 2);
        Put<TLanes, TVector>(TLanes.ZipHigh16(x1, x5), ref destination, destinationStride, 3);
        Put<TLanes, TVector>(TLanes.ZipLow16(x2, x6), ref destination, destinationStride, 4);
        Put<TLanes, TVector>(TLanes.ZipHigh16(x2, x6), ref destination, destinationStride, 5);
        Put<TLanes, TVector>(TLanes.ZipLow16(x3, x7), ref destination, destinationStride, 6);
        Put<TLanes, TVector>(TLanes.ZipHigh16(x3, x7), ref destination, destinationStride, 7);
    }

    // Sixteen rows are too many for the registers. After the first zip, the lower and the upper eight columns have nothing more in
    // common, so each half takes the zips that it needs from the source again.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile8<TLanes, TVector>(ref byte source, nuint stride, ref byte destination, nuint destinationStride)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        HalfTile8<TLanes, TVector>(
            LowOf<TLanes, TVector>(ref source, stride, 0), LowOf<TLanes, TVector>(ref source, stride, 1),
            LowOf<TLanes, TVector>(ref source, stride, 2), LowOf<TLanes, TVector>(ref source, stride, 3),
            LowOf<TLanes, TVector>(ref source, stride, 4), LowOf<TLanes, TVector>(ref source, stride, 5),
            LowOf<TLanes, TVector>(ref source, stride, 6), LowOf<TLanes, TVector>(ref source, stride, 7), ref destination, destinationStride);
        HalfTile8<TLanes, TVector>(
            HighOf<TLanes, TVector>(ref source, stride, 0), HighOf<TLanes, TVector>(ref source, stride, 1),
            HighOf<TLanes, TVector>(ref source, stride, 2), HighOf<TLanes, TVector>(ref source, stride, 3),
            HighOf<TLanes, TVector>(ref source, stride, 4), HighOf<TLanes, TVector>(ref source, stride, 5),
            HighOf<TLanes, TVector>(ref source, stride, 6), HighOf<TLanes, TVector>(ref source, stride, 7),
            ref Unsafe.AddByteOffset(ref destination, 8 * destinationStride), destinationStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void HalfTile8<TLanes, TVector>(
        TVector x0, TVector x1, TVector x2, TVector x3, TVector x4, TVector x5, TVector x6, TVector x7, ref byte destination, nuint destinationStride)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        TVector y0 = TLanes.ZipLow8(x0, x4), y1 = TLanes.ZipHigh8(x0, x4), y2 = TLanes.ZipLow8(x1, x5), y3 = TLanes.ZipHigh8(x1, x5);
        TVector y4 = TLanes.ZipLow8(x2, x6), y5 = TLanes.ZipHigh8(x2, x6), y6 = TLanes.ZipLow8(x3, x7), y7 = TLanes.ZipHigh8(x3, x7);
        x0 = TLanes.ZipLow8(y0, y4);
        x1 = TLanes.ZipHigh8(y0, y4);
        x2 = TLanes.ZipLow8(y1, y5);
        x3 = TLanes.ZipHigh8(y1, y5);
        x4 = TLanes.ZipLow8(y2, y6);
        x5 = TLanes.ZipHigh8(y2, y6);
        x6 = TLanes.ZipLow8(y3, y7);
        x7 = TLanes.ZipHigh8(y3, y7);
        Put<TLanes, TVector>(TLanes.ZipLow8(x0, x4), ref destination, destinationStride, 0);
        Put<TLanes, TVector>(TLanes.ZipHigh8(x0, x4), ref destination, destinationStride, 1);
        Put<TLanes, TVector>(TLanes.ZipLow8(x1, x5), ref destination, destinationStride, 2);
        Put<TLanes, TVector>(TLanes.ZipHigh8(x1, x5), ref destination, destinationStride, 3);
        Put<TLanes, TVector>(TLanes.ZipLow8(x2, x6), ref destination, destinationStride, 4);
        Put<TLanes, TVector>(TLanes.ZipHigh8(x2, x6), ref destination, destinationStride, 5);
        Put<TLanes, TVector>(TLanes.ZipLow8(x3, x7), ref destination, destinationStride, 6);
        Put<TLanes, TVector>(TLanes.ZipHigh8(x3, x7), ref destination, destinationStride, 7);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LowOf<TLanes, TVector>(ref byte source, nuint stride, nuint row)
        where TLanes : ILanes<TVector>
        where TVector : struct =>
        TLanes.ZipLow8(Row<TLanes, TVector>(ref source, stride, row, 16 * stride), Row<TLanes, TVector>(ref source, stride, row + 8, 16 * stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector HighOf<TLanes, TVector>(ref byte source, nuint stride, nuint row)
        where TLanes : ILanes<TVector>
        where TVector : struct =>
        TLanes.ZipHigh8(Row<TLanes, TVector>(ref source, stride, row, 16 * stride), Row<TLanes, TVector>(ref source, stride, row + 8, 16 * stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Row<TLanes, TVector>(ref byte source, nuint stride, nuint row, nuint laneDistance)
        where TLanes : ILanes<TVector>
        where TVector : struct =>
        TLanes.Load(ref Unsafe.AddByteOffset(ref source, row * stride), laneDistance);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<TLanes, TVector>(TVector vector, ref byte destination, nuint stride, nuint row)
        where TLanes : ILanes<TVector>
        where TVector : struct =>
        TLanes.Store(vector, ref Unsafe.AddByteOffset(ref destination, row * stride));
}
