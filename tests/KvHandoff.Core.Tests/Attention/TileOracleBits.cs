namespace KvHandoff.Tests.Attention;

/// <summary>Comparisons of what kernels leave behind, bit by bit.</summary>
static class TileOracleBits
{
    /// <summary>Fails unless a row of one state is the only row of another.</summary>
    internal static void AssertSameRow(TileOracleState all, int row, TileOracleState alone, string what)
    {
        int dim = alone.Output.Length;
        Check(all.Maximum[row], alone.Maximum[0], $"{what}: maximum");
        Check(all.Sum[row], alone.Sum[0], $"{what}: sum");
        for (int d = 0; d < dim; d++) Check(all.Output[row * dim + d], alone.Output[d], $"{what}: output[{d}]");
    }

    /// <summary>Fails unless exactly these rows are NaN, in all their elements.</summary>
    internal static void AssertNaNRows(TileOracleState state, int dim, int[] rows, string what)
    {
        for (int r = 0; r < state.Sum.Length; r++)
        {
            for (int d = 0; d < dim; d++)
            {
                float element = state.Output[r * dim + d] / (state.Sum[r] == 0 ? 1 : state.Sum[r]);
                if (float.IsNaN(element) != rows.Contains(r)) Assert.Fail($"{what}: output[{r}, {d}] is {element}.");
            }
        }
    }

    static void Check(float expected, float actual, string what)
    {
        if (BitConverter.SingleToInt32Bits(expected) != BitConverter.SingleToInt32Bits(actual)) Assert.Fail($"{what} is {actual}, not {expected}.");
    }
}
