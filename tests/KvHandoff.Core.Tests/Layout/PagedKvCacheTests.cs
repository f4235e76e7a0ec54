using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

public sealed class PagedKvCacheTests
{
    private static readonly ModelIdentity Model = new("m", "r", 10000);

    [Theory]
    [InlineData(64, DimensionOrder.HeadMajor)]
    [InlineData(16, DimensionOrder.TokenMajor)]
    [InlineData(1, DimensionOrder.HeadMajor)]
    [InlineData(7, DimensionOrder.TokenMajor)]
    public void Appended_rows_are_where_the_geometry_says(int blockTokens, DimensionOrder order)
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 2, 3, 8, ElementType.Float32, blockTokens, order);
        using PagedKvCache cache = PagedKvCache.Allocate(layout, 200);
        using KvSequence sequence = cache.CreateSequence();
        // Chunks of odd sizes, as chunked prefill and decode write them.
        foreach (int chunk in new[] { 1, 30, 64, 5 })
        {
            Assert.True(sequence.TryReserve(sequence.Tokens + chunk));
            for (int layer = 0; layer < 2; layer++) sequence.WriteRows(layer, sequence.Tokens, Rows(layer, 0, sequence.Tokens, chunk), Rows(layer, 1, sequence.Tokens, chunk));
            sequence.Advance(chunk);
        }

        Assert.Equal(100, sequence.Tokens);
        for (int layer = 0; layer < 2; layer++)
        {
            KvLayerView view = sequence.View(layer);
            for (int token = 0; token < 100; token++)
                for (int head = 0; head < 3; head++)
                    for (int plane = 0; plane < 2; plane++)
                        for (int dim = 0; dim < 8; dim++)
                            Assert.Equal(Value(layer, plane, token, head, dim), BitConverter.ToSingle(view.Row(head, (KvPlane)plane, token)[(dim * 4)..]));
        }
    }

    [Fact]
    public void A_reservation_takes_all_or_nothing_over_all_groups()
    {
        KvCacheLayout layout = new(Model,
        [
            new LayerGroup { Layers = [0], KvHeads = 1, HeadDim = 8, BlockTokens = 16 },
            new LayerGroup { Layers = [1], KvHeads = 1, HeadDim = 8, BlockTokens = 64 },
        ]);
        using NativeSlab slab = NativeSlab.Allocate(PagedKvCache.RequiredBytes(layout, 128));
        using PagedKvCache cache = PagedKvCache.Over(layout, slab, 128);
        using KvSequence a = cache.CreateSequence();
        Assert.True(a.TryReserve(65));
        Assert.Equal((3, 0), (cache.Pools[0].FreeSlots, cache.Pools[1].FreeSlots));
        using KvSequence b = cache.CreateSequence();
        Assert.False(b.TryReserve(1));
        Assert.Equal(3, cache.Pools[0].FreeSlots);
        Assert.Equal(0, cache.FreeTokens);
        a.Dispose();
        Assert.True(b.TryReserve(128));
        Assert.Equal(10, cache.UsedBlocks);
    }

    [Fact]
    public void A_freed_slot_ends_its_generation()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(KvCacheLayout.Uniform(Model, 1, 1, 8), 64);
        KvBlockPool pool = cache.Pools[0];
        var first = new SlotHandle[1];
        Assert.True(pool.TryAllocate(first));
        pool.AddReference(first[0]);
        pool.Release(first[0]);
        Assert.True(pool.IsCurrent(first[0]));
        pool.Release(first[0]);
        Assert.False(pool.IsCurrent(first[0]));
        var second = new SlotHandle[1];
        Assert.True(pool.TryAllocate(second));
        Assert.Equal(first[0].Slot, second[0].Slot);
        Assert.NotEqual(first[0].Generation, second[0].Generation);
        Assert.Throws<InvalidOperationException>(() => pool.Release(first[0]));
        Assert.Throws<InvalidOperationException>(() => pool.AddReference(first[0]));
        Assert.Equal(1, pool.References(second[0].Slot));
    }

    [Fact]
    public void Threads_never_share_a_slot()
    {
        using PagedKvCache cache = PagedKvCache.Allocate(KvCacheLayout.Uniform(Model, 1, 1, 8, blockTokens: 1), 64);
        KvBlockPool pool = cache.Pools[0];
        var owners = new int[pool.Capacity];
        Parallel.For(0, 4, _ =>
        {
            var random = new Random();
            for (int i = 0; i < 5000; i++)
            {
                var mine = new SlotHandle[random.Next(1, 9)];
                if (!pool.TryAllocate(mine)) continue;
                foreach (SlotHandle handle in mine) Assert.Equal(1, Interlocked.Increment(ref owners[handle.Slot]));
                foreach (SlotHandle handle in mine) Interlocked.Decrement(ref owners[handle.Slot]);
                foreach (SlotHandle handle in mine) pool.Release(handle);
            }
        });
        Assert.Equal(pool.Capacity, pool.FreeSlots);
    }

    [Fact]
    public void Misuse_is_told_with_both_values()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(Model, 1, 2, 8);
        using PagedKvCache cache = PagedKvCache.Allocate(layout, 64);
        using KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(64));
        Assert.Contains("65", Assert.Throws<ArgumentException>(() => sequence.WriteRows(0, 0, new float[16 * 65], new float[16 * 65])).Message);
        Assert.Contains("17", Assert.Throws<ArgumentException>(() => sequence.WriteRows(0, 0, new float[17], new float[17])).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => sequence.Advance(65));
        Assert.Throws<ArgumentOutOfRangeException>(() => sequence.View(1));
        using NativeSlab small = NativeSlab.Allocate(100);
        Assert.Contains("100", Assert.Throws<ArgumentException>(() => KvBlockPool.Over(layout.Groups[0], small, 1)).Message);
        Assert.Throws<ArgumentException>(() => new KvBlockPool(layout.Groups[0], [new LayerStorage(small, 0, 8)], 1));
    }

    private static float[] Rows(int layer, int plane, int start, int tokens)
    {
        var rows = new float[tokens * 3 * 8];
        for (int i = 0; i < rows.Length; i++) rows[i] = Value(layer, plane, start + i / 24, i / 8 % 3, i % 8);
        return rows;
    }

    private static float Value(int layer, int plane, int token, int head, int dim) => layer * 100_000 + plane * 50_000 + token * 100 + head * 10 + dim;
}
