namespace KvHandoff.Attention;

/// <summary>
/// Constants of 2^f on [-1/2, 1/2]: the minimax polynomial of degree 6 that Cephes uses for exp2f. Its error is below one
/// unit in the last place of fp32.
/// </summary>
static class Exponential
{
    /// <summary>1.5 * 2^23: sums with it are whole numbers.</summary>
    internal const float Shift = 12582912f;

    internal const float C1 = 6.931472028550421e-1f;

    internal const float C2 = 2.402264791363012e-1f;

    internal const float C3 = 5.550332471162809e-2f;

    internal const float C4 = 9.618437357674640e-3f;

    internal const float C5 = 1.339887440266574e-3f;

    internal const float C6 = 1.535336188319500e-4f;

    internal const float Log2E = 1.44269504f;

    internal const double Ln2 = 0.69314718055994531;
}
