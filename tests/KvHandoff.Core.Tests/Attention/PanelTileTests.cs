using System.Runtime.Intrinsics;
using KvHandoff.Attention;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed unsafe class PanelTileTests
{
    static List<(int Lanes, TileKernel Kernel)> Kernels(ElementType element) => element switch
    {
        ElementType.Float32 => Kernels<KvHandoff.Attention.Float32Element>(),
        ElementType.Float16 => Kernels<KvHandoff.Attention.HalfElement>(),
        ElementType.BFloat16 => Kernels<KvHandoff.Attention.BFloat16Element>(),
        _ => Kernels<KvHandoff.Attention.Fp8E4M3Element>(),
    };

    static List<(int Lanes, TileKernel Kernel)> Kernels<TElement>()
        where TElement : IKvElement
    {
        List<(int, TileKernel)> kernels = [(1, Kernel("panel scalar", &PanelTile.Attend<TElement>))];
        if (InstructionSet.VectorBits >= 128) kernels.Add((4, Kernel("panel 128", &PanelTile<TElement, Width128, SingleMath128, Vector128<uint>>.Attend)));
        if (InstructionSet.VectorBits >= 256) kernels.Add((8, Kernel("panel 256", &PanelTile<TElement, Width256, SingleMath256, Vector256<uint>>.Attend)));
        if (InstructionSet.VectorBits >= 512) kernels.Add((16, Kernel("panel 512", &PanelTile<TElement, Width512, SingleMath512, Vector512<uint>>.Attend)));
        return kernels;
    }

    static TileKernel Kernel(string name, delegate*<AttendTile*, void> attend) => new(name, tile => attend((AttendTile*)tile));

    static void CheckAll(ElementType element, TileOracleCase tiles, string what)
    {
        var oracle = new TileOracle(tiles, isInteger: false);
        foreach ((int lanes, TileKernel kernel) in Kernels(element))
        {
            if (tiles.KeyDim % lanes == 0 && tiles.ValueDim % lanes == 0) oracle.Check(tiles.Run(kernel), $"{kernel.Name} {element}, {what}");
        }
    }

    [Theory]
    [InlineData(ElementType.Float32, 64, 64)]
    [InlineData(ElementType.Float16, 80, 80)]
    [InlineData(ElementType.BFloat16, 96, 96)]
    [InlineData(ElementType.Fp8E4M3, 128, 128)]
    [InlineData(ElementType.BFloat16, 192, 128)]
    [InlineData(ElementType.Float16, 256, 256)]
    [InlineData(ElementType.BFloat16, 72, 40)]
    [InlineData(ElementType.Float32, 48, 112)]
    public void Every_number_of_rows_is_within_the_bound(ElementType element, int keyDim, int valueDim)
    {
        foreach (int rows in (int[])[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 33, 128])
        {
            var tiles = new TileOracleCase(element, rows, keyDim, valueDim, seed: rows + keyDim) { Padding = rows % 3 * 16 };
            tiles.AddScales(tiles.Add(17), rows & 15);
            tiles.AddScales(tiles.Add(8), ~rows & 15);
            CheckAll(element, tiles, $"{rows} rows of {keyDim}/{valueDim}");
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E4M3)]
    public void A_latent_row_is_key_and_value(ElementType element)
    {
        foreach (int rows in (int[])[4, 128])
        {
            var tiles = new TileOracleCase(element, rows, 576, 512, seed: rows) { IsLatent = true, Padding = rows == 4 ? 0 : 64 };
            tiles.Add(64);
            tiles.AddScales(tiles.Add(5), rows == 4 ? 15 : 0);
            CheckAll(element, tiles, $"latent, {rows} rows");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(17)]
    [InlineData(31)]
    [InlineData(63)]
    [InlineData(64)]
    public void Every_number_of_tokens_scale_and_mask_is_within_the_bound(int tokens)
    {
        foreach (int rows in (int[])[1, 5, 8, 13])
        {
            for (int scales = 0; scales < 16; scales++)
            {
                var tiles = new TileOracleCase(ElementType.BFloat16, rows, 64, 64, seed: scales + tokens) { Padding = 3, Cap = scales % 3 == 0 ? 3 : 0 };
                for (int i = 0; i < 3; i++)
                {
                    TileOracleStep step = tiles.Add(i == 1 ? 64 : tokens);
                    tiles.AddScales(step, scales);
                    if (scales % 2 == 1 || i == 2) tiles.AddMask(step);
                }

                CheckAll(ElementType.BFloat16, tiles, $"{tokens} tokens, {rows} rows, scales {scales}");
            }
        }
    }

    [Fact]
    public void A_row_has_the_same_bits_however_many_there_are()
    {
        foreach (int rows in (int[])[2, 5, 6, 7, 8, 9, 10, 33])
        {
            var tiles = new TileOracleCase(ElementType.Float16, rows, 96, 80, seed: rows);
            for (int i = 0; i < 3; i++)
            {
                TileOracleStep step = tiles.Add(13 + i);
                tiles.AddScales(step, i == 0 ? 3 : 15);
                if (i == 2) tiles.AddMask(step);
            }

            foreach ((_, TileKernel kernel) in Kernels(ElementType.Float16))
            {
                TileOracleState all = tiles.Run(kernel);
                for (int r = 0; r < rows; r++) TileOracleBits.AssertSameRow(all, r, tiles.Run(kernel, r), $"{kernel.Name}, row {r} of {rows}");
            }
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E4M3)]
    public void Numbers_that_are_not_finite_come_out_as_nan(ElementType element)
    {
        foreach ((_, TileKernel kernel) in Kernels(element))
        {
            TileOracleCase Case()
            {
                var tiles = new TileOracleCase(element, 7, 64, 64, seed: 4);
                tiles.AddScales(tiles.Add(20), 3);
                return tiles;
            }

            void SpoilElement(byte[] rows, int index)
            {
                if (element == ElementType.BFloat16) rows[2 * index + 1] = rows[2 * index] = 0x7F;
                else rows[index] = 0xFF;
                if (element == ElementType.BFloat16) rows[2 * index] = 0xC0;
            }

            int[] all = [0, 1, 2, 3, 4, 5, 6];
            TileOracleCase tiles = Case();
            tiles.Query[5 * 64 + 17] = float.NaN;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [5], $"{kernel.Name}, query");
            tiles = Case();
            SpoilElement(tiles.Steps[0].StoredKeys, 19 * 64 + 63);
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, all, $"{kernel.Name}, key");
            tiles = Case();
            tiles.Steps[0].KeyScales![7] = float.NaN;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, all, $"{kernel.Name}, key scale");
            tiles = Case();
            for (int d = 0; d < 64; d++) SpoilElement(tiles.Steps[0].StoredValues, 11 * 64 + d);
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, all, $"{kernel.Name}, value");
            // What a row does not see does not touch it, be it key, value or scale.
            tiles = Case();
            for (int d = 0; d < 64; d++) SpoilElement(tiles.Steps[0].StoredValues, 11 * 64 + d);
            SpoilElement(tiles.Steps[0].StoredKeys, 11 * 64);
            tiles.Steps[0].KeyScales![11] = tiles.Steps[0].ValueScales![11] = float.NaN;
            tiles.Steps[0].VisibleFrom = [0, 12, 5, 20, 11, 0, 0];
            tiles.Steps[0].VisibleTo = [11, 20, 15, 0, 12, 20, 0];
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [2, 4, 5], $"{kernel.Name}, unseen");
        }
    }

    [Fact]
    public void Scores_of_minus_infinity_weigh_nothing()
    {
        foreach ((_, TileKernel kernel) in Kernels(ElementType.Float32))
        {
            var tiles = new TileOracleCase(ElementType.Float32, 3, 64, 64, seed: 8);
            tiles.Add(20);
            tiles.Add(20);
            // Every logit of the first step is minus infinity, then all are finite.
            tiles.Steps[0].KeyScales = new float[20];
            tiles.Steps[1].KeyScales = tiles.Scales(20);
            Array.Fill(tiles.Query, 1);
            Array.Fill(tiles.Steps[0].KeyScales!, float.NegativeInfinity);
            for (int t = 0; t < 20; t++)
            {
                for (int d = 0; d < 64; d++) BitConverter.TryWriteBytes(tiles.Steps[0].StoredKeys.AsSpan(4 * (t * 64 + d)), 1f);
            }

            TileOracleState both = tiles.Run(kernel);
            tiles.Steps.RemoveAt(0);
            TileOracleState second = tiles.Run(kernel);
            Assert.Equal(second.Maximum, both.Maximum);
            Assert.Equal(second.Sum, both.Sum);
            Assert.Equal(second.Output, both.Output);
        }
    }
}
