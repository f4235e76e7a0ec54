namespace KvHandoff.Layout;

/// <summary>
/// One sequence's part of a <see cref="PagedKvCache"/>: a block table per layer group and the number of tokens whose rows are complete.
/// </summary>
/// <remarks>
/// To append, reserve room with <see cref="TryReserve"/>, write the rows of every layer with <see cref="WriteRows"/> and then make
/// them visible with <see cref="Advance"/>. Not thread-safe, except that different layers may be written at once.
/// </remarks>
public sealed partial class KvSequence : IDisposable
{
    private readonly BlockTable[] _tables;
    private readonly SlotHandle[] _tails;
    private readonly bool[] _hasTail;
    private readonly int[] _written;
    private bool _disposed, _isBorrowed;

    internal KvSequence(PagedKvCache cache)
    {
        Cache = cache;
        _tables = new BlockTable[cache.Pools.Length];
        for (int g = 0; g < _tables.Length; g++) _tables[g] = new BlockTable();
        _tails = new SlotHandle[_tables.Length];
        _hasTail = new bool[_tables.Length];
        _written = new int[cache.Layout.LayerCount];
    }

    /// <summary>The cache whose blocks the sequence holds.</summary>
    public PagedKvCache Cache { get; }

    /// <summary>Tokens whose rows are complete in every layer.</summary>
    public int Tokens { get; private set; }

    /// <summary>Tokens there is room for without taking more blocks.</summary>
    public int Capacity
    {
        get
        {
            int least = int.MaxValue;
            for (int g = 0; g < _tables.Length; g++) least = Math.Min(least, _tables[g].Count * Cache.Pools[g].Group.BlockTokens);
            return least;
        }
    }

    /// <summary>Block table of layer group <paramref name="group"/>.</summary>
    public BlockTable Table(int group) => _tables[group];

    /// <summary>The slot of the BF16 rows that wait for their tile to fill, if the group has them and room was reserved.</summary>
    public bool TryGetTail(int group, out SlotHandle tail)
    {
        tail = _tails[group];
        return _hasTail[group];
    }

    /// <summary>Takes blocks, and a tail where one is needed, until there is room for <paramref name="tokens"/> tokens in all, or takes none.</summary>
    /// <returns>False, and nothing taken, when a pool has too few free blocks.</returns>
    public bool TryReserve(int tokens)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        Span<int> blocks = stackalloc int[_tables.Length];
        Span<bool> tails = stackalloc bool[_tables.Length];
        blocks.Clear();
        tails.Clear();
        for (int g = 0; g < _tables.Length; g++)
        {
            KvBlockPool pool = Cache.Pools[g];
            blocks[g] = Math.Max(0, (int)(((long)tokens + pool.Group.BlockTokens - 1) / pool.Group.BlockTokens) - _tables[g].Count);
            bool granted = pool.TryAllocate(_tables[g].Add(blocks[g]));
            if (!granted)
            {
                _tables[g].RemoveLast(blocks[g]);
                blocks[g] = 0;
            }
            else if (Cache.TailPools[g] is { } tailPool && !_hasTail[g] && tokens > 0)
            {
                granted = tails[g] = _hasTail[g] = tailPool.TryAllocate(_tails.AsSpan(g, 1));
            }

            if (granted) continue;
            GiveBack(blocks[..(g + 1)], tails);
            return false;
        }

        return true;
    }

    private void GiveBack(ReadOnlySpan<int> blocks, ReadOnlySpan<bool> tails)
    {
        for (int g = 0; g < blocks.Length; g++)
        {
            Release(Cache.Pools[g], _tables[g].Slots[^blocks[g]..]);
            _tables[g].RemoveLast(blocks[g]);
            if (!tails[g]) continue;
            Release(Cache.TailPools[g], _tails.AsSpan(g, 1));
            _hasTail[g] = false;
        }
    }

    /// <summary>
    /// Writes rows of one layer for tokens <paramref name="start"/> .. , converting from fp32 to the cache's element type. Where scales lie
    /// in the blocks, rows are rounded to BF16 into the tail, and packed from there when their tile is full: the same
    /// bytes however the tokens were divided among calls.
    /// </summary>
    /// <param name="layer">Model layer.</param>
    /// <param name="start">First token; the tokens must be reserved. With a tail, not before the tile that is being filled.</param>
    /// <param name="keys"><c>[token][kv head][dim]</c>, already rotated.</param>
    /// <param name="values">Same shape; empty for a latent layer.</param>
    /// <exception cref="ArgumentException">The spans are not whole tokens, differ, exceed the reservation, or leave a gap before a tail.</exception>
    /// <exception cref="SharedBlocksException">Tokens before <see cref="SharedTokens"/> would be written.</exception>
    public void WriteRows(int layer, int start, ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int g = Cache.Layout.GroupOf(layer);
        BlockGeometry geometry = Cache.Pools[g].Geometry;
        int perToken = geometry.KvHeads * geometry.HeadDim;
        if (keys.Length % perToken != 0 || values.Length != (geometry.Planes == 2 ? keys.Length : 0))
            throw new ArgumentException($"Keys have {keys.Length} and values {values.Length} elements; a token of layer {layer} has {perToken} of each.", nameof(keys));
        int tokens = keys.Length / perToken;
        if (start < 0 || (long)start + tokens > (long)_tables[g].Count * geometry.BlockTokens)
            throw new ArgumentException($"Tokens {start}..{start + tokens} exceed the {_tables[g].Count * geometry.BlockTokens} reserved.", nameof(start));
        if (start < SharedTokens)
            throw new SharedBlocksException($"Tokens {start}..{start + tokens} begin in blocks that other sequences may read; rows can be written from {SharedTokens} on.");
        if (Cache.Layout.Groups[g].HasTail)
        {
            int written = Math.Max(_written[layer], Tokens), tile = Cache.Layout.Groups[g].TileTokens;
            if (start > written || start < written / tile * tile)
                throw new ArgumentException($"Layer {layer} has {written} tokens; rows can be written from {written / tile * tile} to {written} on, not from {start}: tiles before are packed.", nameof(start));
        }

        if (tokens == 0) return;
        KvLayerView view = View(layer, start + tokens);
        for (int head = 0; head < geometry.KvHeads; head++)
        {
            RowAppender.Append(view, head, KvPlane.Key, start, tokens, keys[(head * geometry.HeadDim)..], perToken);
            if (geometry.Planes == 2) RowAppender.Append(view, head, KvPlane.Value, start, tokens, values[(head * geometry.HeadDim)..], perToken);
        }

        _written[layer] = start + tokens;
    }

    /// <summary>Makes <paramref name="tokens"/> more tokens count as complete, once every layer's rows are written or landed.</summary>
    public void Advance(int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        if ((long)Tokens + tokens > Capacity) throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"{Tokens} of {Capacity} reserved tokens are in use.");
        Tokens += tokens;
    }

    /// <summary>The sequence as one layer's attention reads it: tokens 0 .. <paramref name="tokens"/> - 1 (default: all complete ones).</summary>
    public KvLayerView View(int layer, int tokens = -1)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int g = Cache.Layout.GroupOf(layer);
        int visible = tokens < 0 ? Tokens : tokens;
        if (visible > _tables[g].Count * Cache.Pools[g].Group.BlockTokens)
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"{_tables[g].Count} blocks of {Cache.Pools[g].Group.BlockTokens} tokens are reserved.");
        return new KvLayerView(Cache.Pools[g], Cache.Layout.IndexInGroup(layer), _tables[g].Slots, visible, Cache.TailPools[g], _tails[g].Slot);
    }

    /// <summary>Gives all blocks back. Further calls do nothing.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        if (_isBorrowed) return;
        for (int g = 0; g < _tables.Length; g++)
        {
            Release(Cache.Pools[g], _tables[g].Slots);
            _tables[g].Clear();
            if (_hasTail[g]) Release(Cache.TailPools[g], _tails.AsSpan(g, 1));
        }
    }

    private static void Release(KvBlockPool? pool, ReadOnlySpan<SlotHandle> handles)
    {
        foreach (SlotHandle handle in handles) pool!.Release(handle);
    }
}
