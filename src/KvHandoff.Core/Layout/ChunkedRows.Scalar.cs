using System.Runtime.InteropServices;

namespace KvHandoff.Layout;

public static partial class ChunkedRows
{
    /// <summary>The definition of both directions, for chunks at any distance.</summary>
    internal static void GatherScalar(ReadOnlySpan<byte> block, in PlaneGeometry geometry, int tokens, int rowBytes, Span<byte> rows)
    {
        int chunk = geometry.ChunkBytes;
        for (int t = 0; t < tokens; t++)
        {
            int from = t * geometry.TokenStrideBytes;
            for (int at = 0; at < rowBytes; at += chunk, from += geometry.ChunkStrideBytes)
                block.Slice(from, chunk).CopyTo(rows[(t * rowBytes + at)..]);
        }
    }

    /// <summary>The inverse of <see cref="GatherScalar"/>.</summary>
    internal static void ScatterScalar(ReadOnlySpan<byte> rows, in PlaneGeometry geometry, int tokens, int rowBytes, Span<byte> block)
    {
        int chunk = geometry.ChunkBytes;
        for (int t = 0; t < tokens; t++)
        {
            int to = t * geometry.TokenStrideBytes;
            for (int at = 0; at < rowBytes; at += chunk, to += geometry.ChunkStrideBytes)
                rows.Slice(t * rowBytes + at, chunk).CopyTo(block[to..]);
        }
    }

    /// <summary>The definition of the transposition, and what is left of it where a matrix is smaller than a tile.</summary>
    internal static void TransposeScalar(ReadOnlySpan<byte> source, int sourceStride, int rows, int columns, int elementBytes, Span<byte> destination, int destinationStride)
    {
        switch (elementBytes)
        {
            case 1: TransposeScalar<byte>(source, sourceStride, rows, columns, elementBytes, destination, destinationStride); break;
            case 2: TransposeScalar<ushort>(source, sourceStride, rows, columns, elementBytes, destination, destinationStride); break;
            case 4: TransposeScalar<uint>(source, sourceStride, rows, columns, elementBytes, destination, destinationStride); break;
            default:
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++)
                        source.Slice(r * sourceStride + c * elementBytes, elementBytes).CopyTo(destination[(c * destinationStride + r * elementBytes)..]);
                break;
        }
    }

    private static void TransposeScalar<T>(ReadOnlySpan<byte> source, int sourceStride, int rows, int columns, int elementBytes, Span<byte> destination, int destinationStride)
        where T : unmanaged
    {
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<T> row = MemoryMarshal.Cast<byte, T>(source.Slice(r * sourceStride, columns * elementBytes));
            for (int c = 0; c < row.Length; c++) MemoryMarshal.Write(destination[(c * destinationStride + r * elementBytes)..], row[c]);
        }
    }
}
