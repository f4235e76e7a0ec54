namespace KvHandoff.Layout;

/// <summary>
/// Copies between rows laid end to end and a block whose order scatters the elements of a row: vLLM's packed keys
/// (<c>[dim / x][token][x]</c>) and the transposed forms (<c>[dim][token]</c>), which are chunks of one element. Both directions
/// transpose a matrix of chunks.
/// </summary>
/// <remarks>
/// Spans need no alignment and may be longer than what is read and written; nothing else is touched. Where the two overlap the result is
/// unspecified. Every instruction set writes the same bytes. Thread-safe; nothing is allocated.
/// </remarks>
public static partial class ChunkedRows
{
    /// <summary>Copies the rows of tokens <paramref name="within"/> .. of one head out of a plane of a block.</summary>
    /// <param name="block">The plane's bytes, from its first row on.</param>
    /// <param name="geometry">Where its rows lie.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="within">First token, within the block.</param>
    /// <param name="tokens">Tokens; may be zero.</param>
    /// <param name="rowBytes">Bytes of a row, a multiple of the chunk.</param>
    /// <param name="rows">Receives tokens x row bytes.</param>
    /// <exception cref="ArgumentException">A span is too short, or the row is no whole number of chunks.</exception>
    public static void Gather(ReadOnlySpan<byte> block, in PlaneGeometry geometry, int head, int within, int tokens, int rowBytes, Span<byte> rows)
    {
        if (tokens == 0) return;
        ReadOnlySpan<byte> from = block[Check(block.Length, geometry, head, within, tokens, rowBytes, rows.Length)..];
        int chunk = geometry.ChunkBytes;
        if (geometry.TokenStrideBytes == chunk) Transpose(from, geometry.ChunkStrideBytes, rowBytes / chunk, tokens, chunk, rows, rowBytes, byColumn: false);
        else GatherScalar(from, geometry, tokens, rowBytes, rows);
    }

    /// <summary>The inverse of <see cref="Gather"/>.</summary>
    /// <exception cref="ArgumentException">A span is too short, or the row is no whole number of chunks.</exception>
    public static void Scatter(Span<byte> block, in PlaneGeometry geometry, int head, int within, int tokens, int rowBytes, ReadOnlySpan<byte> rows)
    {
        if (tokens == 0) return;
        Span<byte> to = block[Check(block.Length, geometry, head, within, tokens, rowBytes, rows.Length)..];
        int chunk = geometry.ChunkBytes;
        if (geometry.TokenStrideBytes == chunk) Transpose(rows, rowBytes, tokens, rowBytes / chunk, chunk, to, geometry.ChunkStrideBytes, byColumn: true);
        else ScatterScalar(rows, geometry, tokens, rowBytes, to);
    }

    /// <summary>Offset of the first row in the block, when all rows lie inside.</summary>
    private static int Check(int blockBytes, in PlaneGeometry geometry, int head, int within, int tokens, int rowBytes, int rowsBytes)
    {
        if (tokens < 0 || head < 0 || within < 0 || rowBytes < 1 || geometry.ChunkBytes < 1 || rowBytes % geometry.ChunkBytes != 0)
            throw new ArgumentException($"{tokens} rows of {rowBytes} bytes from token {within} of head {head} are no rows of chunks of {geometry.ChunkBytes} bytes.", nameof(rowBytes));
        if (geometry.TokenStrideBytes < 0 || geometry.ChunkStrideBytes < 0 || geometry.HeadStrideBytes < 0)
            throw new ArgumentException($"A distance of {geometry} is negative.", nameof(geometry));
        long first = (long)head * geometry.HeadStrideBytes + (long)within * geometry.TokenStrideBytes;
        long end = first + (tokens - 1L) * geometry.TokenStrideBytes + (rowBytes / geometry.ChunkBytes - 1L) * geometry.ChunkStrideBytes + geometry.ChunkBytes;
        if (end > blockBytes) throw new ArgumentException($"{tokens} rows from token {within} of head {head} end at byte {end}; the block has {blockBytes}.", nameof(blockBytes));
        if ((long)tokens * rowBytes > rowsBytes) throw new ArgumentException($"{tokens} rows of {rowBytes} bytes take {(long)tokens * rowBytes}; the rows have {rowsBytes}.", nameof(rowsBytes));
        return (int)first;
    }

    /// <summary>
    /// Element (r, c) of <paramref name="source"/>, at <c>r * sourceStride + c * elementBytes</c>, becomes element (c, r) of
    /// <paramref name="destination"/>. Lengths were checked. Walks by row of the source or, <paramref name="byColumn"/>, by row of the
    /// destination: that of the block, whose lines come from memory and are to be finished one after the other.
    /// </summary>
    private static void Transpose(ReadOnlySpan<byte> source, int sourceStride, int rows, int columns, int elementBytes, Span<byte> destination, int destinationStride, bool byColumn)
    {
        if (!TransposeVectors(source, sourceStride, rows, columns, elementBytes, destination, destinationStride, byColumn))
            TransposeScalar(source, sourceStride, rows, columns, elementBytes, destination, destinationStride);
    }
}
