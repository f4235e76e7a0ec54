using KvHandoff.Attention;
using KvHandoff.Numerics;
using Tile128 = KvHandoff.Attention.IntegerTile<KvHandoff.Numerics.Width128, KvHandoff.Attention.SingleMath128, KvHandoff.Attention.IntegerTileWidth128, System.Runtime.Intrinsics.Vector128<uint>>;
using Tile256 = KvHandoff.Attention.IntegerTile<KvHandoff.Numerics.Width256, KvHandoff.Attention.SingleMath256, KvHandoff.Attention.IntegerTileWidth256, System.Runtime.Intrinsics.Vector256<uint>>;
using Tile512 = KvHandoff.Attention.IntegerTile<KvHandoff.Numerics.Width512, KvHandoff.Attention.SingleMath512, KvHandoff.Attention.IntegerTileWidth512, System.Runtime.Intrinsics.Vector512<uint>>;

namespace KvHandoff.Tests.Attention;

public sealed unsafe class IntegerTileTests
{
    static readonly int[] s_rows = [1, 2, 3, 4, 5, 7, 8, 16, 33, 128];

    static List<(int Bits, TileKernel Kernel)> Kernels(bool prepared = true)
    {
        List<(int, TileKernel)> kernels = [(0, Kernel("integer scalar", &IntegerTile.Attend, &IntegerTile.Prepare, prepared))];
        if (IntegerTile.Fits(128, 128, 128)) kernels.Add((128, Kernel("integer 128", &Tile128.Attend, &Tile128.Prepare, prepared)));
        if (IntegerTile.Fits(256, 128, 128)) kernels.Add((256, Kernel("integer 256", &Tile256.Attend, &Tile256.Prepare, prepared)));
        if (IntegerTile.Fits(512, 128, 128)) kernels.Add((512, Kernel("integer 512", &Tile512.Attend, &Tile512.Prepare, prepared)));
        return kernels;
    }

    static TileKernel Kernel(string name, delegate*<AttendTile*, void> attend, delegate*<float*, int, int, byte*, void> prepare, bool prepared) =>
        new(name, tile => attend((AttendTile*)tile))
        {
            PreparedBytes = prepared ? IntegerTile.PreparedBytes : null,
            Prepare = (query, rows, dim, at) => prepare((float*)query, rows, dim, (byte*)at),
        };

    static void CheckAll(TileOracleCase tiles, string what)
    {
        var oracle = new TileOracle(tiles, isInteger: true);
        foreach ((int bits, TileKernel kernel) in Kernels())
        {
            if (IntegerTile.Fits(bits, tiles.KeyDim, tiles.ValueDim)) oracle.Check(tiles.Run(kernel), $"{kernel.Name}, {what}");
        }
    }

    [Fact]
    public void The_widths_of_this_process_are_there()
    {
        int widest = Kernels().Max(k => k.Bits);
        if (System.Runtime.Intrinsics.X86.Sse41.IsSupported) Assert.Equal(InstructionSet.VectorBits, widest);
        else Assert.Equal(0, widest);
    }

    [Theory]
    [InlineData(64, 64)]
    [InlineData(80, 80)]
    [InlineData(96, 96)]
    [InlineData(128, 128)]
    [InlineData(192, 128)]
    [InlineData(256, 256)]
    [InlineData(512, 512)]
    public void Every_number_of_rows_is_within_the_bound(int keyDim, int valueDim)
    {
        foreach (int rows in s_rows)
        {
            var tiles = new TileOracleCase(ElementType.Int8, rows, keyDim, valueDim, seed: rows + keyDim) { Padding = rows % 3 * 16 };
            tiles.AddScales(tiles.Add(17), rows & 15);
            tiles.AddScales(tiles.Add(8), ~rows & 15);
            CheckAll(tiles, $"{rows} rows of {keyDim}/{valueDim}");
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
        foreach (int rows in (int[])[1, 2, 3, 4, 6])
        {
            for (int scales = 0; scales < 16; scales++)
            {
                var tiles = new TileOracleCase(ElementType.Int8, rows, 128, 128, seed: scales + tokens) { Padding = 3, Cap = scales % 3 == 0 ? 3 : 0 };
                for (int i = 0; i < 3; i++)
                {
                    TileOracleStep step = tiles.Add(i == 1 ? 64 : tokens);
                    tiles.AddScales(step, scales);
                    if (scales % 2 == 1 || i == 2) tiles.AddMask(step);
                }

                CheckAll(tiles, $"{tokens} tokens, {rows} rows, scales {scales}");
            }
        }
    }

    [Fact]
    public void A_row_has_the_same_bits_however_many_there_are()
    {
        foreach (int rows in (int[])[2, 3, 5, 8, 33])
        {
            var tiles = new TileOracleCase(ElementType.Int8, rows, 96, 96, seed: rows);
            for (int i = 0; i < 3; i++)
            {
                TileOracleStep step = tiles.Add(13 + i);
                tiles.AddScales(step, i == 0 ? 3 : 15);
                if (i == 2) tiles.AddMask(step);
            }

            foreach ((int bits, TileKernel kernel) in Kernels())
            {
                if (!IntegerTile.Fits(bits, 96, 96)) continue;
                TileOracleState all = tiles.Run(kernel);
                for (int r = 0; r < rows; r++) TileOracleBits.AssertSameRow(all, r, tiles.Run(kernel, r), $"{kernel.Name}, row {r} of {rows}");
            }
        }
    }

    [Fact]
    public void A_prepared_query_changes_no_bit()
    {
        var tiles = new TileOracleCase(ElementType.Int8, 7, 128, 128, seed: 9);
        tiles.AddScales(tiles.Add(64), 3);
        tiles.AddScales(tiles.Add(20), 7);
        foreach (((_, TileKernel with), (_, TileKernel without)) in Kernels(true).Zip(Kernels(false)))
        {
            TileOracleState expected = tiles.Run(without), actual = tiles.Run(with);
            for (int r = 0; r < 7; r++) TileOracleBits.AssertSameRow(expected, r, tiles.Run(with, r), with.Name);
            Assert.Equal(expected.Output, actual.Output);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Numbers_that_are_not_finite_come_out_as_nan(float number)
    {
        foreach ((_, TileKernel kernel) in Kernels())
        {
            TileOracleCase Case()
            {
                var tiles = new TileOracleCase(ElementType.Int8, 5, 64, 64, seed: 4);
                tiles.AddScales(tiles.Add(20), 15);
                return tiles;
            }

            TileOracleCase tiles = Case();
            tiles.Query[3 * 64 + 17] = number;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [3], $"{kernel.Name}, query");
            tiles = Case();
            tiles.Steps[0].KeyScales![7] = float.NaN;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [0, 1, 2, 3, 4], $"{kernel.Name}, key scale");
            tiles = Case();
            tiles.Steps[0].ValueScales![19] = number;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [0, 1, 2, 3, 4], $"{kernel.Name}, value scale");
            tiles = Case();
            tiles.Steps[0].KeyChannelScales![0] = number;
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [0, 1, 2, 3, 4], $"{kernel.Name}, key channel scale");
            // A row that does not see the token is not touched by its scales, nor one that sees nothing by the channels'.
            tiles = Case();
            tiles.Steps[0].KeyScales![7] = tiles.Steps[0].ValueScales![7] = number;
            tiles.Steps[0].VisibleFrom = [0, 8, 5, 20, 7];
            tiles.Steps[0].VisibleTo = [7, 20, 9, 0, 8];
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [2, 4], $"{kernel.Name}, unseen scale");
            tiles = Case();
            Array.Fill(tiles.Steps[0].KeyChannelScales!, float.NaN);
            Array.Fill(tiles.Steps[0].ValueChannelScales!, float.NaN);
            tiles.Steps[0].VisibleFrom = [0, 3, 3, 20, 7];
            tiles.Steps[0].VisibleTo = [0, 20, 3, 0, 7];
            TileOracleBits.AssertNaNRows(tiles.Run(kernel), 64, [1], $"{kernel.Name}, unseen step");
        }
    }

    [Fact]
    public void The_largest_codes_do_not_overflow()
    {
        var tiles = new TileOracleCase(ElementType.Int8, 3, 512, 64, seed: 5) { LogitFactor = 1e-6f };
        TileOracleStep step = tiles.Add(64);
        Array.Fill(step.StoredKeys, (byte)0x80);
        Array.Fill(step.Keys, -128);
        Array.Fill(step.StoredValues, (byte)0x80);
        Array.Fill(step.Values, -128);
        Array.Fill(tiles.Query, -1);
        CheckAll(tiles, "largest codes");
        foreach (int bits in (int[])[0, 128, 256, 512]) Assert.False(IntegerTile.Fits(bits, 576, 512));
    }

    [Fact]
    public void Zeros_and_tiny_queries_are_numbers()
    {
        foreach (float magnitude in (float[])[0, 1e-42f, 1e-36f])
        {
            var tiles = new TileOracleCase(ElementType.Int8, 4, 64, 64, seed: 6);
            tiles.Add(16);
            tiles.AddScales(tiles.Add(9), 12);
            for (int i = 0; i < tiles.Query.Length; i++) tiles.Query[i] *= magnitude;
            CheckAll(tiles, $"query of {magnitude}");
        }
    }
}
