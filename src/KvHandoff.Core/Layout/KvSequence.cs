using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// One sequence's part of a <see cref="PagedKvCache"/>: a block table per layer group and the number of tokens whose rows are complete.
/// </summary>
/// <remarks>
/// To append, reserve room with <see cref="TryReserve"/>, write the rows of every layer with <see cref="WriteRows"/> and then make
/// them visible with <see cref="Advance"/>. Not thread-safe, except that different layers may be written at once.
/// </remarks>
public sealed class KvSequence : IDisposable
{
    private readonly BlockTable[] _tables;
    private bool _disposed;

    internal KvSequence(PagedKvCache cache)
    {
        Cache = cache;
        _tables = new BlockTable[cache.Pools.Length];
        for (int g = 0; g < _tables.Length; g++) _tables[g] = new BlockTable();
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

    /// <summary>Takes blocks until there is room for <paramref name="tokens"/> tokens in all, or takes none.</summary>
    /// <returns>False, and nothing taken, when a pool has too few free blocks.</returns>
    public bool TryReserve(int tokens)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        var granted = new SlotHandle[_tables.Length][];
        for (int g = 0; g < _tables.Length; g++)
        {
            KvBlockPool pool = Cache.Pools[g];
            int blocks = (int)(((long)tokens + pool.Group.BlockTokens - 1) / pool.Group.BlockTokens);
            granted[g] = new SlotHandle[Math.Max(0, blocks - _tables[g].Count)];
            if (pool.TryAllocate(granted[g])) continue;
            for (int back = 0; back < g; back++)
                foreach (SlotHandle handle in granted[back]) Cache.Pools[back].Release(handle);
            return false;
        }

        for (int g = 0; g < _tables.Length; g++) _tables[g].Add(granted[g]);
        return true;
    }

    /// <summary>
    /// Writes rows of one layer for tokens <paramref name="start"/> .. , converting from fp32 to the cache's element type.
    /// </summary>
    /// <param name="layer">Model layer.</param>
    /// <param name="start">First token; the tokens must be reserved.</param>
    /// <param name="keys"><c>[token][kv head][dim]</c>, already rotated.</param>
    /// <param name="values">Same shape; empty for a latent layer.</param>
    /// <exception cref="ArgumentException">The spans are not whole tokens, differ, or exceed the reservation.</exception>
    public void WriteRows(int layer, int start, ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int g = Cache.Layout.GroupOf(layer), inGroup = Cache.Layout.IndexInGroup(layer);
        KvBlockPool pool = Cache.Pools[g];
        BlockGeometry geometry = pool.Geometry;
        int perToken = geometry.KvHeads * geometry.HeadDim;
        if (pool.Group.ScaleKind != ScaleKind.None) throw new NotSupportedException($"Appending to a cache with scales ({pool.Group.ScaleKind}) needs a packed tail, which this version does not have.");
        if (keys.Length % perToken != 0 || values.Length != (geometry.Planes == 2 ? keys.Length : 0))
            throw new ArgumentException($"Keys have {keys.Length} and values {values.Length} elements; a token of layer {layer} has {perToken} of each.", nameof(keys));
        int tokens = keys.Length / perToken;
        if (start < 0 || (long)start + tokens > (long)_tables[g].Count * geometry.BlockTokens)
            throw new ArgumentException($"Tokens {start}..{start + tokens} exceed the {_tables[g].Count * geometry.BlockTokens} reserved.", nameof(start));

        for (int t = 0; t < tokens; t++)
        {
            int token = start + t;
            Span<byte> block = pool.Block(inGroup, _tables[g][token / geometry.BlockTokens].Slot);
            int within = token % geometry.BlockTokens;
            for (int h = 0; h < geometry.KvHeads; h++)
            {
                int from = t * perToken + h * geometry.HeadDim;
                Store(keys.Slice(from, geometry.HeadDim), block.Slice(geometry.RowOffset(h, KvPlane.Key, within), geometry.RowBytes), pool.Group.ElementType);
                if (geometry.Planes == 2)
                    Store(values.Slice(from, geometry.HeadDim), block.Slice(geometry.RowOffset(h, KvPlane.Value, within), geometry.RowBytes), pool.Group.ElementType);
            }
        }
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
        return new KvLayerView(Cache.Pools[g], Cache.Layout.IndexInGroup(layer), _tables[g].Slots, visible);
    }

    /// <summary>Gives all blocks back. Further calls do nothing.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        for (int g = 0; g < _tables.Length; g++)
        {
            foreach (SlotHandle handle in _tables[g].Slots) Cache.Pools[g].Release(handle);
            _tables[g].Clear();
        }
    }

    private static void Store(ReadOnlySpan<float> source, Span<byte> destination, ElementType type)
    {
        switch (type)
        {
            case ElementType.Float32: MemoryMarshal.AsBytes(source).CopyTo(destination); break;
            case ElementType.BFloat16: ElementConversion.FromSingle(source, MemoryMarshal.Cast<byte, BFloat16>(destination)); break;
            case ElementType.Float16: ElementConversion.FromSingle(source, MemoryMarshal.Cast<byte, Half>(destination)); break;
            case ElementType.Fp8E4M3: ElementConversion.FromSingle(source, MemoryMarshal.Cast<byte, Fp8E4M3>(destination)); break;
            case ElementType.Fp8E5M2: ElementConversion.FromSingle(source, MemoryMarshal.Cast<byte, Fp8E5M2>(destination)); break;
            default: throw new NotSupportedException($"Rows of {type.Name()} cannot be appended from fp32 without scales.");
        }
    }
}
