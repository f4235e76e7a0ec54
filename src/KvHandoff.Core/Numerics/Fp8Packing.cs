using System.Runtime.InteropServices;

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
public static class Fp8Packing
{
    // Rows are handed on as bytes, whose number must be an int.
    const int MostBytes = 1 << 30;

    /// <summary>Packs BF16 rows; all of them are read twice, in tiles that stay in the first-level cache.</summary>
    /// <param name="source">Rows laid end to end.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="codes">Receives one code for each element.</param>
    /// <param name="scales">Receives one scale for each row.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The row length is below 1.</exception>
    /// <exception cref="ArgumentException">The source is not a whole number of rows, or a destination is too short.</exception>
    public static PackFlags PackRows(ReadOnlySpan<BFloat16> source, int rowLength, Span<Fp8E4M3> codes, Span<float> scales) =>
        Pack(source, ElementType.BFloat16, rowLength, codes, scales);

    /// <summary>Packs binary32 rows.</summary>
    /// <inheritdoc cref="PackRows(ReadOnlySpan{BFloat16}, int, Span{Fp8E4M3}, Span{float})"/>
    public static PackFlags PackRows(ReadOnlySpan<float> source, int rowLength, Span<Fp8E4M3> codes, Span<float> scales) =>
        Pack(source, ElementType.Float32, rowLength, codes, scales);

    /// <summary>Unpacks rows to BF16.</summary>
    /// <param name="codes">Rows laid end to end.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scales">One scale for each row.</param>
    /// <param name="destination">Receives one number for each code.</param>
    /// <exception cref="ArgumentOutOfRangeException">The row length is below 1.</exception>
    /// <exception cref="ArgumentException">The codes are not a whole number of rows, or another span is too short.</exception>
    public static void UnpackRows(
        ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<BFloat16> destination) =>
        Unpack(codes, rowLength, scales, destination, ElementType.BFloat16);

    /// <summary>Unpacks rows to binary32.</summary>
    /// <inheritdoc cref="UnpackRows(ReadOnlySpan{Fp8E4M3}, int, ReadOnlySpan{float}, Span{BFloat16})"/>
    public static void UnpackRows(ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<float> destination) =>
        Unpack(codes, rowLength, scales, destination, ElementType.Float32);

    static PackFlags Pack<T>(ReadOnlySpan<T> source, ElementType from, int rowLength, Span<Fp8E4M3> codes, Span<float> scales)
        where T : unmanaged
    {
        int rows = RowCount(source.Length, rowLength, nameof(source));
        PackingRows.RequireRoom(source.Length, codes.Length, nameof(codes));
        PackingRows.RequireRoom(rows, scales.Length, nameof(scales));
        int bytes = from.SizeBytes();
        PackFlags flags = PackFlags.None;
        for (int first = 0, count; first < rows; first += count)
        {
            count = Math.Min(rows - first, Math.Max(1, MostBytes / bytes / rowLength));
            ReadOnlySpan<T> part = source.Slice(first * rowLength, count * rowLength);
            flags |= RowScaledPacking.Pack(
                MemoryMarshal.AsBytes(part),
                checked(rowLength * bytes),
                from,
                count,
                rowLength,
                ElementType.Fp8E4M3,
                ScaleType.Float32,
                MemoryMarshal.AsBytes(codes.Slice(first * rowLength, part.Length)),
                scales.Slice(first, count));
        }

        return flags;
    }

    static void Unpack<T>(ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<T> destination, ElementType to)
        where T : unmanaged
    {
        int rows = RowCount(codes.Length, rowLength, nameof(codes));
        PackingRows.RequireRoom(codes.Length, destination.Length, nameof(destination));
        PackingRows.RequireRoom(rows, scales.Length, nameof(scales));
        int bytes = to.SizeBytes();
        for (int first = 0, count; first < rows; first += count)
        {
            count = Math.Min(rows - first, Math.Max(1, MostBytes / bytes / rowLength));
            ReadOnlySpan<Fp8E4M3> part = codes.Slice(first * rowLength, count * rowLength);
            RowScaledPacking.Unpack(
                MemoryMarshal.AsBytes(part),
                ElementType.Fp8E4M3,
                count,
                rowLength,
                scales.Slice(first, count),
                MemoryMarshal.AsBytes(destination.Slice(first * rowLength, part.Length)),
                checked(rowLength * bytes),
                to);
        }
    }

    static int RowCount(int elements, int rowLength, string parameter)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowLength);
        if (elements % rowLength != 0)
            throw new ArgumentException($"{elements} elements are no whole number of rows of {rowLength}.", parameter);
        return elements / rowLength;
    }
}
