using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>
/// A cache of one layer group with a sequence in shuffled blocks, over memory whose every address the test computes itself: the
/// expected image of all bytes is kept beside it.
/// </summary>
internal sealed class LayoutPairCache : IDisposable
{
    public const byte Poison = 0xA5;

    private readonly NativeSlab _slab;
    private readonly byte[] _image;
    private readonly long[] _keys, _values;
    private readonly long _stride, _valueStride;
    private readonly byte[][] _tailImage;

    public LayoutPairCache(LayerGroup group, int tokens, bool apart, Random random, bool complete = true)
    {
        Group = group;
        (ElementBytes, Planes) = (LayoutPairNumbers.SizeBytes(group.ElementType), group.Kind == AttentionKind.Latent ? 1 : 2);
        int layers = group.Layers.Length, slots = (tokens + group.BlockTokens - 1) / group.BlockTokens + random.Next(4);
        int planeBytes = group.KvHeads * group.BlockTokens * group.HeadDim * ElementBytes, scaleBytes = group.KvHeads * (HeadScaleBytes(KvPlane.Key) + HeadScaleBytes(KvPlane.Value));
        _stride = (apart ? planeBytes : Planes * planeBytes + scaleBytes) + random.Next(3) * 16;
        _valueStride = apart ? planeBytes + random.Next(3) * 16 : 0;
        (_keys, _values) = (new long[layers], new long[layers]);
        var storage = new LayerStorage[layers];
        _slab = NativeSlab.Allocate(layers * (slots * (_stride + _valueStride) + 256));
        long at = random.Next(64);
        for (int layer = 0; layer < layers; layer++)
        {
            (_keys[layer], _values[layer]) = (at, apart ? at + slots * _stride : at + planeBytes);
            storage[layer] = new LayerStorage(_slab, at, _stride) { Values = apart ? new PlaneStorage(_slab, _values[layer], _valueStride) : null };
            at += slots * (_stride + _valueStride) + random.Next(64);
        }

        Apart = apart;
        Pool = new KvBlockPool(group, storage, slots);
        Cache = new PagedKvCache(new KvCacheLayout(new ModelIdentity("pair", "1", 0), [group]), [Pool], 2);
        // Poison comes before the first token: slots are handed out in an order that is not theirs.
        var all = new SlotHandle[slots];
        Assert.True(Pool.TryAllocate(all));
        random.Shuffle(all);
        foreach (SlotHandle handle in all) Pool.Release(handle);
        _slab.Fill(Poison);
        _image = new byte[_slab.LengthBytes];
        Array.Fill(_image, Poison);
        KvBlockPool? tails = Cache.TailPools[0];
        tails?.Fill(Poison);
        _tailImage = new byte[layers * (tails?.Capacity ?? 0)][];
        for (int i = 0; i < _tailImage.Length; i++)
        {
            _tailImage[i] = new byte[Planes * group.KvHeads * group.TileTokens * group.HeadDim * 2];
            Array.Fill(_tailImage[i], Poison);
        }

        Sequence = Cache.CreateSequence();
        Assert.True(Sequence.TryReserve(tokens));
        if (complete) Sequence.Advance(tokens);
    }

    public LayerGroup Group { get; }

    public KvBlockPool Pool { get; }

    public PagedKvCache Cache { get; }

    public KvSequence Sequence { get; }

    public bool Apart { get; }

    private int ElementBytes { get; }

    private int Planes { get; }

    /// <summary>Writes rows into the image, and into the cache if they are the sender's.</summary>
    public void Put(int layer, int head, KvPlane plane, LayoutPairRows rows, bool intoCache)
    {
        int scaleSize = LayoutPairNumbers.SizeBytes(Group.ScaleType), b = Group.BlockTokens;
        for (int t = 0; t < rows.Tokens; t++)
        {
            for (int d = 0; d < Group.HeadDim; d++)
            {
                if (t >= rows.Packed)
                {
                    Assert.True(Sequence.TryGetTail(0, out SlotHandle tail));
                    int at = (((head * Planes + (int)plane) * Group.TileTokens + t % Group.TileTokens) * Group.HeadDim + d) * 2;
                    BitConverter.TryWriteBytes(_tailImage[layer * Cache.TailPools[0]!.Capacity + tail.Slot].AsSpan(at), rows.Tail(t, d));
                    continue;
                }

                long block = BlockAt(layer, t / b, plane);
                rows.Elements.AsSpan((t * Group.HeadDim + d) * ElementBytes, ElementBytes).CopyTo(_image.AsSpan((int)(block + ElementOffset(plane, head, t % b, d))));
                if (rows.Scales.Length > 0)
                    rows.Scales.AsSpan(rows.ScaleIndex(t, d) * scaleSize, scaleSize).CopyTo(_image.AsSpan((int)(_keys[layer] + _stride * Sequence.Table(0)[t / b].Slot) + ScaleOffset(head, plane, t % b, d)));
            }
        }

        if (!intoCache) return;
        _image.CopyTo(_slab.Span(0, _image.Length));
        for (int i = 0; i < _tailImage.Length; i++) _tailImage[i].CopyTo(TailBlock(i));
    }

    /// <summary>Compares every byte of the cache, the gaps between blocks included, to the image.</summary>
    public void Check(string what, bool tails = true)
    {
        ReadOnlySpan<byte> found = _slab.Span(0, _image.Length);
        int at = found.CommonPrefixLength(_image);
        if (at < _image.Length) Assert.Fail($"{what}: byte {at} of {_image.Length} is 0x{found[at]:X2}, expected 0x{_image[at]:X2}");
        for (int i = 0; tails && i < _tailImage.Length; i++)
        {
            ReadOnlySpan<byte> tail = TailBlock(i);
            at = tail.CommonPrefixLength(_tailImage[i]);
            if (at < tail.Length) Assert.Fail($"{what}: byte {at} of tail {i} is 0x{tail[at]:X2}, expected 0x{_tailImage[i][at]:X2}");
        }
    }

    public void Dispose()
    {
        Sequence.Dispose();
        Cache.Dispose();
        _slab.Dispose();
    }

    private Span<byte> TailBlock(int index)
    {
        KvBlockPool tails = Cache.TailPools[0]!;
        return tails.Block(index / tails.Capacity, index % tails.Capacity);
    }

    private long BlockAt(int layer, int block, KvPlane plane)
    {
        int slot = Sequence.Table(0)[block].Slot;
        if (!Apart) return _keys[layer] + _stride * slot;
        // The offset below counts the keys of a block that holds both planes.
        return plane == KvPlane.Key ? _keys[layer] + _stride * slot : _values[layer] + _valueStride * slot - ElementOffset(KvPlane.Value, 0, 0, 0);
    }

    private int ElementOffset(KvPlane plane, int h, int t, int d)
    {
        int heads = Group.KvHeads, dims = Group.HeadDim, b = Group.BlockTokens, p = (int)plane, x = 16 / ElementBytes;
        int index = (Group.Order, plane) switch
        {
            (DimensionOrder.HeadMajor, _) => ((h * Planes + p) * b + t) * dims + d,
            (DimensionOrder.TokenMajor, _) => ((p * b + t) * heads + h) * dims + d,
            (DimensionOrder.PlaneHeadMajor, _) => ((p * heads + h) * b + t) * dims + d,
            (DimensionOrder.PackedKey, KvPlane.Key) => ((h * (dims / x) + d / x) * b + t) * x + d % x,
            (DimensionOrder.PackedKey, _) => ((p * heads + h) * dims + d) * b + t,
            (_, KvPlane.Key) => (h * dims + d) * b + t,
            _ => ((p * heads + h) * b + t) * dims + d,
        };
        return index * ElementBytes;
    }

    private int ScaleOffset(int head, KvPlane plane, int within, int dim)
    {
        int keys = HeadScaleBytes(KvPlane.Key), values = HeadScaleBytes(KvPlane.Value), dims = Group.HeadDim;
        int rows = Planes * Group.KvHeads * Group.BlockTokens * dims * ElementBytes;
        int index = Kind(plane) switch
        {
            ScaleKind.PerTokenHead => within,
            ScaleKind.PerChannelTile => within / Math.Min(64, Group.BlockTokens) * dims + dim,
            _ => within * ((dims + 31) / 32) + dim / 32,
        };
        return rows + head * (keys + values) + (plane == KvPlane.Key ? 0 : keys) + index * LayoutPairNumbers.SizeBytes(Group.ScaleType);
    }

    private int HeadScaleBytes(KvPlane plane)
    {
        if ((int)plane >= Planes) return 0;
        int b = Group.BlockTokens, dims = Group.HeadDim;
        int count = Kind(plane) switch
        {
            ScaleKind.PerTokenHead => b,
            ScaleKind.PerChannelTile => (b + 63) / 64 * dims,
            ScaleKind.PerGroup32 => b * ((dims + 31) / 32),
            _ => 0,
        };
        return count * LayoutPairNumbers.SizeBytes(Group.ScaleType);
    }

    private ScaleKind Kind(KvPlane plane) => plane == KvPlane.Key ? Group.KeyScaleKind : Group.ValueScaleKind;
}
