namespace KvHandoff.Numerics;

/// <summary>
/// Packs rows (one token of one kv head, say) to FP8 E4M3 with one binary32 scale a row, and unpacks them.
/// </summary>
/// <remarks>
/// <para>The arithmetic, in binary32 with every operation rounded to nearest even and the same on every instruction set:
/// <c>amax</c> is the largest magnitude among the finite elements of the row; <c>scale = max(amax / 448, 2^-120)</c>, or 1 where
/// amax is zero; <c>inverse = 1 / scale</c>; <c>code = E4M3(x * inverse)</c>, saturating; unpacked <c>x = float(code) * scale</c>,
/// rounded to BF16 where that is the destination. The lower bound of the scale keeps the inverse finite: elements below
/// 2^-130 become zero.</para>
/// <para>A NaN stays NaN and does not enter amax. An infinity becomes +-448, that is the largest magnitude of its row, and does
/// not enter amax either. Both are reported. Negative zero keeps its sign. Unpacking with a scale that is infinite or NaN
/// gives IEEE's result, whose NaN bits are unspecified.</para>
/// <para>For a finite element with scale above the bound, <c>|x - unpacked|</c> is at most <c>scale * max(2^-10, |x / scale| / 16)</c>
/// but for the rounding of the binary32 operations, a few 2^-24 of <c>|x|</c>.</para>
/// <para>Destinations may be longer than needed. Source and destination must not overlap. Thread-safe; nothing is allocated.</para>
/// </remarks>
public static partial class Fp8Packing
{
    /// <summary>The largest finite E4M3 value.</summary>
    const float LargestCode = 448f;

    /// <summary>2^-120.</summary>
    const float SmallestScale = 7.52316385e-37f;

    // Rows whose largest magnitudes are found before the first is converted, which takes the division off the critical path.
    const int TileRows = 16;

    // A tile must still be in the first-level cache when it is read again.
    const int TileBytes = 16 * 1024;

    /// <summary>Packs BF16 rows; all of them are read twice, in tiles that stay in the first-level cache.</summary>
    /// <param name="source">Rows laid end to end.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="codes">Receives one code for each element.</param>
    /// <param name="scales">Receives one scale for each row.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The row length is below 1.</exception>
    /// <exception cref="ArgumentException">The source is not a whole number of rows, or a destination is too short.</exception>
    public static PackFlags PackRows(ReadOnlySpan<BFloat16> source, int rowLength, Span<Fp8E4M3> codes, Span<float> scales)
    {
        int rows = RowCount(source.Length, rowLength, nameof(source));
        RequireRoom(source.Length, codes.Length, nameof(codes));
        RequireRoom(rows, scales.Length, nameof(scales));
        return PackTiles<BFloat16, BFloat16Rows>(source, rowLength, codes[..source.Length], scales[..rows]);
    }

    /// <summary>Packs binary32 rows.</summary>
    /// <inheritdoc cref="PackRows(ReadOnlySpan{BFloat16}, int, Span{Fp8E4M3}, Span{float})"/>
    public static PackFlags PackRows(ReadOnlySpan<float> source, int rowLength, Span<Fp8E4M3> codes, Span<float> scales)
    {
        int rows = RowCount(source.Length, rowLength, nameof(source));
        RequireRoom(source.Length, codes.Length, nameof(codes));
        RequireRoom(rows, scales.Length, nameof(scales));
        return PackTiles<float, SingleRows>(source, rowLength, codes[..source.Length], scales[..rows]);
    }

    /// <summary>Unpacks rows to BF16.</summary>
    /// <param name="codes">Rows laid end to end.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scales">One scale for each row.</param>
    /// <param name="destination">Receives one number for each code.</param>
    /// <exception cref="ArgumentOutOfRangeException">The row length is below 1.</exception>
    /// <exception cref="ArgumentException">The codes are not a whole number of rows, or another span is too short.</exception>
    public static void UnpackRows(
        ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<BFloat16> destination)
    {
        int rows = RowCount(codes.Length, rowLength, nameof(codes));
        RequireRoom(codes.Length, destination.Length, nameof(destination));
        RequireRoom(rows, scales.Length, nameof(scales));
        UnpackRows<BFloat16, BFloat16Rows>(codes, rowLength, scales[..rows], destination[..codes.Length]);
    }

    /// <summary>Unpacks rows to binary32.</summary>
    /// <inheritdoc cref="UnpackRows(ReadOnlySpan{Fp8E4M3}, int, ReadOnlySpan{float}, Span{BFloat16})"/>
    public static void UnpackRows(ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<float> destination)
    {
        int rows = RowCount(codes.Length, rowLength, nameof(codes));
        RequireRoom(codes.Length, destination.Length, nameof(destination));
        RequireRoom(rows, scales.Length, nameof(scales));
        UnpackRows<float, SingleRows>(codes, rowLength, scales[..rows], destination[..codes.Length]);
    }

    static PackFlags PackTiles<T, TRows>(ReadOnlySpan<T> source, int rowLength, Span<Fp8E4M3> codes, Span<float> scales)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        int tileRows = Math.Clamp(TileBytes / TRows.SizeBytes / rowLength, 1, TileRows);
        PackFlags flags = PackFlags.None;
        Span<float> inverses = stackalloc float[TileRows];
        while (!scales.IsEmpty)
        {
            int rows = Math.Min(tileRows, scales.Length);
            int elements = rows * rowLength;
            // The scales hold each row's largest magnitude until the division.
            Span<float> tileScales = scales[..rows];
            bool finite = LargestMagnitudes<T, TRows>(source[..elements], rowLength, tileScales);
            if (!finite)
                flags |= FiniteMagnitudes<T, TRows>(source[..elements], rowLength, tileScales);
            for (int row = 0; row < tileScales.Length; row++)
            {
                float scale = ScaleOf(tileScales[row]);
                tileScales[row] = scale;
                inverses[row] = 1f / scale;
            }

            PackRows<T, TRows>(source[..elements], rowLength, inverses[..rows], codes[..elements], finite);
            source = source[elements..];
            codes = codes[elements..];
            scales = scales[rows..];
        }

        return flags;
    }

    static int RowCount(int elements, int rowLength, string parameter)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowLength);
        if (elements % rowLength != 0)
            throw new ArgumentException($"{elements} elements are no whole number of rows of {rowLength}.", parameter);
        return elements / rowLength;
    }

    static void RequireRoom(int needed, int length, string parameter)
    {
        if (length < needed)
            throw new ArgumentException($"The span holds {length} elements where {needed} are needed.", parameter);
    }
}
