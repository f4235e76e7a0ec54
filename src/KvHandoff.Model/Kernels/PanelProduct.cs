namespace KvHandoff.Model.Kernels;

/// <summary>
/// Matrix products <c>C = A B</c> with B in panels of <see cref="PanelColumns"/> columns. Every element of C is one chain of fused
/// multiply-adds over the depth in ascending order, so its bits do not depend on how rows and columns are split, on the number
/// of threads, or on the vector width.
/// </summary>
internal static partial class PanelProduct
{
    /// <summary>Columns of one panel.</summary>
    internal const int PanelColumns = 16;

    /// <summary>Rows that the kernel works on at once; blocks of rows are best a multiple of it.</summary>
    internal const int TileRows = 6;

    // Rows of the tile that takes what is left.
    private const int SmallTileRows = 4;

    /// <summary>
    /// <c>c[r][n] = sum over k of a[r][k] b[k][n]</c> for packed weights; overwrites c.
    /// </summary>
    /// <param name="a"><paramref name="rows"/> rows, <paramref name="aStride"/> elements apart, of <c>b.Depth</c> elements.</param>
    /// <param name="aStride">Distance between rows.</param>
    /// <param name="rows">Rows, 0 or more.</param>
    /// <param name="b">The weights.</param>
    /// <param name="c">Rows of <c>b.Columns</c> elements, <paramref name="cStride"/> apart.</param>
    /// <param name="cStride">Distance between rows.</param>
    internal static void Multiply(ReadOnlySpan<float> a, int aStride, int rows, PackedWeights b, Span<float> c, int cStride)
    {
        if (rows == 0) return;
        Require(a.Length, rows, aStride, b.Depth, nameof(a));
        Require(c.Length, rows, cStride, b.Columns, nameof(c));
        Run(a, aStride, rows, b.Depth, b.Panels, b.Columns, c, cStride);
    }

    /// <summary>The same for some columns of C: a share of the product that reads its own part of the weights alone.</summary>
    /// <param name="firstColumn">A multiple of <see cref="PanelColumns"/> below <c>b.Columns</c>.</param>
    /// <param name="columns">Columns from there on; what exceeds <c>b.Columns</c> is left out.</param>
    internal static void Multiply(ReadOnlySpan<float> a, int aStride, int rows, PackedWeights b, int firstColumn, int columns, Span<float> c, int cStride)
    {
        if (rows == 0) return;
        Require(a.Length, rows, aStride, b.Depth, nameof(a));
        Require(c.Length, rows, cStride, b.Columns, nameof(c));
        if (firstColumn < 0 || firstColumn >= b.Columns || firstColumn % PanelColumns != 0)
            throw new ArgumentOutOfRangeException(nameof(firstColumn), firstColumn, $"Column {firstColumn}; allowed: multiples of {PanelColumns} below {b.Columns}.");
        Run(a, aStride, rows, b.Depth, b.Panels[(firstColumn * b.Depth)..], Math.Min(columns, b.Columns - firstColumn), c[firstColumn..], cStride);
    }

    private static void Require(int length, int rows, int stride, int width, string name)
    {
        long needed = (rows - 1L) * stride + width;
        if (rows < 0 || stride < width || length < needed)
            throw new ArgumentException($"{rows} rows of {width} elements {stride} apart take {needed}; {length} were given.", name);
    }
}
