namespace KvHandoff.Layout;

/// <summary>One layer of one sequence, read through its block table. Valid while the sequence keeps its blocks.</summary>
public readonly ref struct KvLayerView
{
    private readonly KvBlockPool _pool;
    private readonly ReadOnlySpan<SlotHandle> _slots;

    internal KvLayerView(KvBlockPool pool, int layerInGroup, ReadOnlySpan<SlotHandle> slots, int tokens)
    {
        _pool = pool;
        _slots = slots;
        LayerInGroup = layerInGroup;
        Tokens = tokens;
    }

    /// <summary>The layer's group.</summary>
    public LayerGroup Group => _pool.Group;

    /// <summary>Where rows lie inside a block.</summary>
    public BlockGeometry Geometry => _pool.Geometry;

    /// <summary>Position of the layer in its group.</summary>
    public int LayerInGroup { get; }

    /// <summary>Tokens to read.</summary>
    public int Tokens { get; }

    /// <summary>Blocks that hold those tokens; the last one may be partly filled.</summary>
    public int BlockCount => (Tokens + Geometry.BlockTokens - 1) / Geometry.BlockTokens;

    /// <summary>Bytes of block <paramref name="index"/>.</summary>
    public Span<byte> Block(int index) => _pool.Block(LayerInGroup, _slots[index].Slot);

    /// <summary>Tokens of block <paramref name="index"/> that count.</summary>
    public int TokensIn(int index) => Math.Min(Geometry.BlockTokens, Tokens - index * Geometry.BlockTokens);

    /// <summary>The bytes of one row.</summary>
    public Span<byte> Row(int head, KvPlane plane, int token)
    {
        (int block, int within) = Math.DivRem(token, Geometry.BlockTokens);
        return Block(block).Slice(Geometry.RowOffset(head, plane, within), Geometry.RowBytes);
    }
}
