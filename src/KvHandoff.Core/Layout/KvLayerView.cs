namespace KvHandoff.Layout;

/// <summary>
/// One layer of one sequence, read through its block table. Where scales lie in the blocks, the last tokens are BF16 rows in a tail
/// until their tile is full. Valid while the sequence keeps its blocks.
/// </summary>
public readonly ref struct KvLayerView
{
    private readonly KvBlockPool _pool;
    private readonly KvBlockPool? _tailPool;
    private readonly ReadOnlySpan<SlotHandle> _slots;
    private readonly int _tailSlot;

    internal KvLayerView(KvBlockPool pool, int layerInGroup, ReadOnlySpan<SlotHandle> slots, int tokens, KvBlockPool? tailPool, int tailSlot)
    {
        _pool = pool;
        _slots = slots;
        _tailPool = tailPool;
        _tailSlot = tailSlot;
        LayerInGroup = layerInGroup;
        Tokens = tokens;
        PackedTokens = tailPool is null ? tokens : tokens / pool.Group.TileTokens * pool.Group.TileTokens;
    }

    /// <summary>The layer's group.</summary>
    public LayerGroup Group => _pool.Group;

    /// <summary>Where rows lie inside a block.</summary>
    public BlockGeometry Geometry => _pool.Geometry;

    /// <summary>Position of the layer in its group.</summary>
    public int LayerInGroup { get; }

    /// <summary>Tokens to read.</summary>
    public int Tokens { get; }

    /// <summary>Tokens that lie in the blocks; the others, less than a tile, lie in the tail.</summary>
    public int PackedTokens { get; }

    /// <summary>Tokens in the tail.</summary>
    public int TailTokens => Tokens - PackedTokens;

    /// <summary>Blocks that hold the packed tokens; the last one may be partly filled.</summary>
    public int BlockCount => (PackedTokens + Geometry.BlockTokens - 1) / Geometry.BlockTokens;

    /// <summary>Bytes of block <paramref name="index"/>; only where K and V lie together.</summary>
    public Span<byte> Block(int index) => _pool.Block(LayerInGroup, _slots[index].Slot);

    /// <summary>Bytes of K or of V of block <paramref name="index"/>, from its first row on.</summary>
    public Span<byte> Plane(int index, KvPlane plane) => _pool.Plane(LayerInGroup, _slots[index].Slot, plane);

    /// <summary>Scales that block <paramref name="index"/> stores for a head; empty where it stores none.</summary>
    public Span<byte> Scales(int index, int head, KvPlane plane) => _pool.Scales(LayerInGroup, _slots[index].Slot, head, plane);

    /// <summary>The static scale of a head: 1 where the group has none.</summary>
    public float StaticScale(int head, KvPlane plane) => _pool.StaticScale(LayerInGroup, head, plane);

    /// <summary>Tokens of block <paramref name="index"/> that count.</summary>
    public int TokensIn(int index) => Math.Min(Geometry.BlockTokens, PackedTokens - index * Geometry.BlockTokens);

    /// <summary>The rows of the tail of one head: BF16, token after token, <see cref="LayerGroup.TileTokens"/> of them.</summary>
    /// <exception cref="InvalidOperationException">The group has no tail.</exception>
    public Span<byte> Tail(int head, KvPlane plane)
    {
        if (_tailPool is null) throw new InvalidOperationException($"Rows stored as {Group.Form(plane)} have no tail.");
        BlockGeometry geometry = _tailPool.Geometry;
        return _tailPool.Plane(LayerInGroup, _tailSlot, plane).Slice(geometry.Plane(plane).RowOffset(head, 0), geometry.BlockTokens * geometry.RowBytes);
    }

    /// <summary>The bytes of one stored row: of the tail for a token that is not packed.</summary>
    /// <exception cref="InvalidOperationException">The order scatters the elements of a row.</exception>
    public Span<byte> Row(int head, KvPlane plane, int token)
    {
        if (token >= PackedTokens && _tailPool is not null)
        {
            int rowBytes = _tailPool.Geometry.RowBytes;
            return Tail(head, plane).Slice(token % Group.TileTokens * rowBytes, rowBytes);
        }

        if (!Geometry.RowsAreContiguous(plane)) throw new InvalidOperationException($"Rows of {plane} in order {Group.Order} are no runs of bytes.");
        (int block, int within) = Math.DivRem(token, Geometry.BlockTokens);
        return Plane(block, plane).Slice(Geometry.Plane(plane).RowOffset(head, within), Geometry.RowBytes);
    }
}
