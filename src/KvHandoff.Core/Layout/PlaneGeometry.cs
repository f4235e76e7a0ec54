namespace KvHandoff.Layout;

/// <summary>
/// Where the rows of K or of V lie in a block, in bytes from the plane's start: token t of head h starts at
/// <c>h * HeadStrideBytes + t * TokenStrideBytes</c>; its elements follow in chunks of <c>ChunkBytes</c>, <c>ChunkStrideBytes</c> apart.
/// </summary>
/// <param name="OffsetBytes">Start of the plane in a block that holds both planes.</param>
/// <param name="HeadStrideBytes">Distance between the same row of neighbouring heads.</param>
/// <param name="TokenStrideBytes">Distance between rows of neighbouring tokens of a head.</param>
/// <param name="ChunkBytes">Bytes of a row that lie together: the whole row in most orders.</param>
/// <param name="ChunkStrideBytes">Distance between neighbouring chunks of a row.</param>
public readonly record struct PlaneGeometry(int OffsetBytes, int HeadStrideBytes, int TokenStrideBytes, int ChunkBytes, int ChunkStrideBytes)
{
    internal static PlaneGeometry Of(LayerGroup group, KvPlane plane)
    {
        int row = group.RowBytes, element = row / group.HeadDim, run = group.BlockTokens * row, p = (int)plane;
        int offset = p * group.KvHeads * run;
        return group.Order switch
        {
            DimensionOrder.HeadMajor => new(p * run, group.Planes * run, row, row, row),
            DimensionOrder.TokenMajor => new(offset, row, group.KvHeads * row, row, row),
            DimensionOrder.PackedKey when plane == KvPlane.Key => Chunked(offset, run, LayerGroup.PackedKeyChunkBytes, group.BlockTokens),
            DimensionOrder.PackedKey => Chunked(offset, run, element, group.BlockTokens),
            DimensionOrder.TransposedKey when plane == KvPlane.Key => Chunked(offset, run, element, group.BlockTokens),
            _ => new(offset, run, row, row, row),
        };
    }

    /// <summary>Offset of the first byte of a row from the plane's start.</summary>
    public int RowOffset(int head, int token) => head * HeadStrideBytes + token * TokenStrideBytes;

    private static PlaneGeometry Chunked(int offset, int run, int chunk, int blockTokens) => new(offset, run, chunk, chunk, blockTokens * chunk);
}
