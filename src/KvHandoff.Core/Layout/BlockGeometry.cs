namespace KvHandoff.Layout;

/// <summary>
/// Byte offsets inside one block of one layer. Rows come first, in the group's order, then the scales that are stored with them:
/// <c>[kv head][K, V][scale]</c>, where the scales of a head are those of its tokens, tiles or groups in token order.
/// </summary>
public readonly struct BlockGeometry
{
    private readonly PlaneGeometry _keys, _values;
    private readonly int _scalesOffset, _keyScaleBytes, _valueScaleBytes;

    internal BlockGeometry(LayerGroup group)
    {
        KvHeads = group.KvHeads;
        Planes = group.Planes;
        BlockTokens = group.BlockTokens;
        HeadDim = group.HeadDim;
        RowBytes = group.RowBytes;
        _keys = PlaneGeometry.Of(group, KvPlane.Key);
        _values = PlaneGeometry.Of(group, KvPlane.Value);
        _scalesOffset = KvHeads * Planes * BlockTokens * RowBytes;
        _keyScaleBytes = StoredScaleBytes(group, KvPlane.Key);
        _valueScaleBytes = Planes == 2 ? StoredScaleBytes(group, KvPlane.Value) : 0;
        BlockBytes = _scalesOffset + KvHeads * (_keyScaleBytes + _valueScaleBytes);
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

    /// <summary>Bytes of one block of one layer, stored scales included.</summary>
    public int BlockBytes { get; }

    /// <summary>Bytes of the rows of K or of V alone.</summary>
    public int PlaneBytes => KvHeads * BlockTokens * RowBytes;

    /// <summary>Where the rows of a plane lie.</summary>
    public PlaneGeometry Plane(KvPlane plane) => plane == KvPlane.Key ? _keys : _values;

    /// <summary>Whether the elements of a row of the plane are neighbours in memory.</summary>
    public bool RowsAreContiguous(KvPlane plane) => Plane(plane).ChunkBytes == RowBytes;

    /// <summary>Whether the tokens of one head of the plane are one contiguous run.</summary>
    public bool TokensAreContiguous(KvPlane plane) => RowsAreContiguous(plane) && Plane(plane).TokenStrideBytes == RowBytes;

    /// <summary>Bytes of the scales that a block stores for one head of the plane; 0 when it stores none.</summary>
    public int ScaleBytesPerHead(KvPlane plane) => plane == KvPlane.Key ? _keyScaleBytes : _valueScaleBytes;

    /// <summary>Offset in the block of the first scale of a head.</summary>
    public int ScaleOffset(int head, KvPlane plane) =>
        _scalesOffset + head * (_keyScaleBytes + _valueScaleBytes) + (plane == KvPlane.Key ? 0 : _keyScaleBytes);

    private static int StoredScaleBytes(LayerGroup group, KvPlane plane)
    {
        StorageForm form = group.Form(plane);
        return form.HasStoredScales ? form.ScaleBytes(group.BlockTokens, group.HeadDim) : 0;
    }
}
