using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>Rows that an engine appends, and rows that it reads back, in every form and order, against the same double loops.</summary>
public class LayoutPairWriteTests
{
    [Fact]
    public void Rows_written_in_chunks_of_any_size_are_stored_as_the_definitions_say()
    {
        for (int seed = 0; seed < 150; seed++)
        {
            LayoutPairCase c = LayoutPairCase.Create(10_000 + seed);
            var random = new Random(seed);
            using var cache = new LayoutPairCache(c.Source, c.Tokens, apart: false, random, complete: false);
            LayerGroup group = c.Source;
            SetScales(c, cache);
            for (int first = 0, count; first < c.Tokens; first += count)
            {
                count = Math.Min(random.Next(3) == 0 ? 1 : random.Next(1, 130), c.Tokens - first);
                for (int layer = 0; layer < group.Layers.Length; layer++)
                    cache.Sequence.WriteRows(layer, first, Rows(c, layer, 0, first, count), group.Planes == 2 ? Rows(c, layer, 1, first, count) : []);
                cache.Sequence.Advance(count);
            }

            foreach ((int layer, int head, KvPlane plane) in Places(group))
            {
                LayoutPairRows rows = Stored(c, layer, head, plane);
                cache.Put(layer, head, plane, rows, intoCache: false);
                CheckUnpacked(c, cache, layer, head, plane, rows, random);
            }

            cache.Check($"{c}", tails: false);
        }
    }

    /// <summary>Any range of tokens, read into rows at any distance, of any type.</summary>
    private static void CheckUnpacked(LayoutPairCase c, LayoutPairCache cache, int layer, int head, KvPlane plane, LayoutPairRows rows, Random random)
    {
        ElementType[] types = [ElementType.BFloat16, ElementType.Float16, ElementType.Float32];
        ElementType to = types[random.Next(3)];
        int first = random.Next(c.Tokens), count = random.Next(1, c.Tokens - first + 1), size = LayoutPairNumbers.SizeBytes(to), rowBytes = rows.Dim * size;
        int stride = rowBytes + random.Next(3) * 4;
        byte[] found = GC.AllocateArray<byte>(count * stride, pinned: true), expected = new byte[count * stride];
        Array.Fill(found, LayoutPairCache.Poison);
        Array.Fill(expected, LayoutPairCache.Poison);
        for (int t = 0; t < count; t++)
            for (int d = 0; d < rows.Dim; d++)
                LayoutPairNumbers.Write(expected.AsSpan(t * stride + d * size), to, rows.Number(first + t, d));
        StoredRows.Unpack(cache.Sequence.View(layer), head, plane, first, new RowRuns([RowRun.Over(found, count, rowBytes, stride)], rowBytes), to);
        int at = found.AsSpan().CommonPrefixLength(expected);
        if (at < found.Length) Assert.Fail($"{c} layer {layer} {plane} head {head} tokens {first}..{first + count} to {to}: byte {at} is 0x{found[at]:X2}, expected 0x{expected[at]:X2}");
    }

    private static LayoutPairRows Stored(LayoutPairCase c, int layer, int head, KvPlane plane)
    {
        bool tail = c.Source.HasTail;
        return LayoutPairRows.Store(c.Source.Form(plane), tail, c.Tokens, c.Source.HeadDim, c.StaticScale(false, c.Source, layer, head, plane), (t, d) =>
        {
            float x = c.Number(layer, head, (int)plane, t, d);
            // With a tail, rows wait for their tile in BF16.
            return tail ? BitConverter.UInt32BitsToSingle((uint)LayoutPairNumbers.BFloat16Bits(x) << 16) : x;
        });
    }

    private static float[] Rows(LayoutPairCase c, int layer, int plane, int first, int count)
    {
        (int heads, int dim) = (c.Source.KvHeads, c.Source.HeadDim);
        var rows = new float[count * heads * dim];
        for (int i = 0; i < rows.Length; i++) rows[i] = c.Number(layer, i / dim % heads, plane, first + i / dim / heads, i % dim);
        return rows;
    }

    private static void SetScales(LayoutPairCase c, LayoutPairCache cache)
    {
        foreach ((int layer, int head, KvPlane plane) in Places(c.Source))
            cache.Pool.SetStaticScale(layer, head, plane, c.StaticScale(false, c.Source, layer, head, plane));
    }

    private static IEnumerable<(int Layer, int Head, KvPlane Plane)> Places(LayerGroup g) =>
        from layer in Enumerable.Range(0, g.Layers.Length)
        from head in Enumerable.Range(0, g.KvHeads)
        from plane in Enumerable.Range(0, g.Planes)
        select (layer, head, (KvPlane)plane);
}
