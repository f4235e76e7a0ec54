using KvHandoff.Memory;
using KvHandoff.Model.Kernels;

namespace KvHandoff.Core.Tests.Model;

public class PanelProductTests
{
    [Fact]
    public void Every_element_is_one_chain_of_multiply_adds_for_every_shape()
    {
        var random = new Random(30);
        foreach (int rows in new[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 48 })
        {
            foreach (int columns in new[] { 1, 15, 16, 17, 64, 70, 129 })
            {
                int depth = random.Next(1, 80), aStride = depth + random.Next(3), cStride = columns + random.Next(3);
                float[] a = Random(random, rows * aStride), weights = Random(random, columns * depth), c = Random(random, rows * cStride);
                float[] before = [.. c];
                using NativeSlab slab = NativeSlab.Allocate(PackedWeights.RequiredBytes(depth, columns));
                long at = 0;
                PackedWeights packed = PackedWeights.Pack(weights, columns, depth, slab, ref at);
                Assert.Equal(slab.LengthBytes, at);
                PanelProduct.Multiply(a, aStride, rows, packed, c, cStride);
                for (int r = 0; r < rows; r++)
                {
                    for (int n = 0; n < cStride && r * cStride + n < c.Length; n++)
                    {
                        float expected = n < columns ? 0 : before[r * cStride + n];
                        for (int k = 0; n < columns && k < depth; k++) expected = MathF.FusedMultiplyAdd(a[r * aStride + k], weights[n * depth + k], expected);
                        Assert.Equal(BitConverter.SingleToUInt32Bits(expected), BitConverter.SingleToUInt32Bits(c[r * cStride + n]));
                    }
                }
            }
        }
    }

    [Fact]
    public void Shares_of_the_columns_give_the_bits_of_the_whole()
    {
        var random = new Random(32);
        foreach (int rows in new[] { 1, 2, 5, 8, 17 })
        {
            foreach (int columns in new[] { 16, 70, 129, 256 })
            {
                int depth = random.Next(1, 80);
                float[] a = Random(random, rows * depth), weights = Random(random, columns * depth), whole = new float[rows * columns], shared = Random(random, rows * columns);
                using NativeSlab slab = NativeSlab.Allocate(PackedWeights.RequiredBytes(depth, columns));
                long at = 0;
                PackedWeights packed = PackedWeights.Pack(weights, columns, depth, slab, ref at);
                PanelProduct.Multiply(a, depth, rows, packed, whole, columns);
                float[] before = [.. shared];
                PanelProduct.Multiply(a, depth, rows, packed, 0, 16, shared, columns);
                for (int i = 0; i < shared.Length; i++) Assert.Equal(i % columns < 16 ? whole[i] : before[i], shared[i]);
                for (int first = 16; first < columns; first += 64) PanelProduct.Multiply(a, depth, rows, packed, first, 64, shared, columns);
                Assert.Equal(whole, shared);
                Assert.Throws<ArgumentOutOfRangeException>(() => PanelProduct.Multiply(a, depth, rows, packed, 8, 16, shared, columns));
                Assert.Throws<ArgumentOutOfRangeException>(() => PanelProduct.Multiply(a, depth, rows, packed, (columns + 15) / 16 * 16, 16, shared, columns));
            }
        }
    }

    [Fact]
    public void Spans_that_are_too_short_are_refused()
    {
        using NativeSlab slab = NativeSlab.Allocate(PackedWeights.RequiredBytes(4, 16));
        long at = 0;
        PackedWeights packed = PackedWeights.Pack(new float[64], 16, 4, slab, ref at);
        Assert.Throws<ArgumentException>(() => PanelProduct.Multiply(new float[11], 4, 3, packed, new float[48], 16));
        Assert.Throws<ArgumentException>(() => PanelProduct.Multiply(new float[12], 4, 3, packed, new float[47], 16));
        Assert.Throws<ArgumentException>(() => PanelProduct.Multiply(new float[12], 3, 3, packed, new float[48], 16));
        Assert.Throws<ArgumentException>(() => PanelProduct.Multiply(new float[12], 4, 3, packed, 0, 16, new float[47], 16));
    }

    private static float[] Random(Random random, int length) => [.. Enumerable.Range(0, length).Select(_ => (float)(2 * random.NextDouble() - 1))];
}
