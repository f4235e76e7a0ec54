namespace KvHandoff.Layout;

/// <summary>
/// Byte offsets inside one block of one layer. Rows come first, in the group's order, then the scales as
/// <c>[kv head][K, V][token]</c> fp32.
/// </summary>
public readonly struct BlockGeometry
{
    private readonly int _headStride, _planeStride, _tokenStride, _scalesOffset;

    internal BlockGeometry(LayerGroup group)
    {
        KvHeads = group.KvHeads;
        Planes = group.Planes;
        BlockTokens = group.BlockTokens;
        HeadDim = group.HeadDim;
        RowBytes = group.RowBytes;
        ScaleBytesPerRow = group.ScaleBytesPerRow;
        if (group.Order == DimensionOrder.HeadMajor)
        {
            _tokenStride = RowBytes;
            _planeStride = BlockTokens * RowBytes;
            _headStride = Planes * _planeStride;
        }
        else
        {
            _headStride = RowBytes;
            _tokenStride = KvHeads * RowBytes;
            _planeStride = BlockTokens * _tokenStride;
        }

        _scalesOffset = KvHeads * Planes * BlockTokens * RowBytes;
        BlockBytes = _scalesOffset + KvHeads * Planes * BlockTokens * ScaleBytesPerRow;
    }

    /// <summary>Key/value heads.</summary>
    public int KvHeads { get; }

    /// <summary>2 for K and V, 1 for a latent.</summary>
    public int Planes { get; }

    /// <summary>Tokens per block.</summary>
    public int BlockTokens { get; }

    /// <summary>Elements per row.</summary>
    public int HeadDim { get; }

    /// <summary>Bytes per row.</summary>
    public int RowBytes { get; }

    /// <summary>Bytes of scale per row, 0 or 4.</summary>
    public int ScaleBytesPerRow { get; }

    /// <summary>Bytes of one block of one layer.</summary>
    public int BlockBytes { get; }

    /// <summary>Distance in bytes between the same row of consecutive tokens.</summary>
    public int TokenStrideBytes => _tokenStride;

    /// <summary>True when the tokens of one head of one plane are one contiguous run.</summary>
    public bool TokensAreContiguous => _tokenStride == RowBytes;

    /// <summary>Offset of the row of <paramref name="token"/> (0 to <see cref="BlockTokens"/> - 1, within the block).</summary>
    public int RowOffset(int head, KvPlane plane, int token) => head * _headStride + (int)plane * _planeStride + token * _tokenStride;

    /// <summary>Offset of that row's scale.</summary>
    public int ScaleOffset(int head, KvPlane plane, int token) =>
        _scalesOffset + ((head * Planes + (int)plane) * BlockTokens + token) * ScaleBytesPerRow;
}
