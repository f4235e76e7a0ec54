namespace KvHandoff.Numerics;

/// <summary>
/// Packs rows (one token of one kv head, say) to 8-bit codes with one scale a row, and unpacks them.
/// </summary>
/// <remarks>
/// <para>The arithmetic, in binary32 with every operation rounded to nearest even and the same on every instruction set:
/// <c>amax</c> is the largest magnitude among the finite elements of the row; <c>scale = max(amax / largest, 2^-120)</c> with the
/// largest code 448 (E4M3), 57344 (E5M2) or 127 (INT8), or 1 where amax is zero; a BF16 scale is then rounded to nearest even, and
/// the rounded one is used for everything; <c>inverse = 1 / scale</c>; <c>code = C(x * inverse)</c>, rounded to nearest even and
/// saturating (INT8 to -127 ... 127); unpacked <c>x = float(code) * scale</c>, rounded to nearest even to the destination's type.
/// The lower bound of the scale keeps the inverse finite: a row below it loses precision down to zero.</para>
/// <para>FP8: a NaN stays a NaN of its sign and negative zero keeps its sign. INT8 has neither: a NaN becomes 0. An infinity
/// becomes the largest code with its sign. Neither enters amax; both are reported. Unpacking with a scale that is infinite or
/// NaN gives IEEE's result, whose NaN bits are unspecified.</para>
/// <para>Rows lie at a stride: row r starts at byte <c>r * strideBytes</c>, and the span ends at or after the last row's end;
/// bytes between rows are neither read nor written. Codes and scales are contiguous. Spans need no alignment and may be longer
/// than needed; source and destination must not overlap. Thread-safe; nothing is allocated.</para>
/// </remarks>
public static partial class RowScaledPacking
{
    // Rows whose largest magnitudes are found before the first is converted: the divisions are waited for once.
    internal const int TileRows = 64;

    // A tile must still be in the first-level cache when it is read again.
    const int TileBytes = 16 * 1024;

    /// <summary>Packs rows; all of them are read twice, in tiles that stay in the first-level cache.</summary>
    /// <param name="source">Rows at a stride.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="from">BFloat16, Float16 or Float32.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="scaleType">Float32, or BFloat16 to round the scales to what travels in two bytes.</param>
    /// <param name="codes">Receives <c>rows * rowLength</c> codes.</param>
    /// <param name="scales">Receives one scale for each row.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A format, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static PackFlags Pack(
        ReadOnlySpan<byte> source,
        int strideBytes,
        ElementType from,
        int rows,
        int rowLength,
        ElementType code,
        ScaleType scaleType,
        Span<byte> codes,
        Span<float> scales)
    {
        PackingRows checkedRows = PackingRows.Check(source, strideBytes, from, rows, rowLength, nameof(source), nameof(from));
        PackingFormats.RequireCode(code);
        AmaxScale.RequireType(scaleType);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        PackingRows.RequireRoom(rows, scales.Length, nameof(scales));
        var job = new PackJob { Rows = checkedRows, ScaleType = scaleType, Codes = codes, Scales = scales[..rows] };
        PackingFormats.Run(ref job, from, code);
        return job.Flags;
    }

    /// <summary>Unpacks rows.</summary>
    /// <param name="codes"><c>rows * rowLength</c> codes.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scales">One scale for each row.</param>
    /// <param name="destination">Receives rows at a stride; what lies between them is left alone.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="to">BFloat16, Float16 or Float32.</param>
    /// <exception cref="ArgumentOutOfRangeException">A format, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Unpack(
        ReadOnlySpan<byte> codes,
        ElementType code,
        int rows,
        int rowLength,
        ReadOnlySpan<float> scales,
        Span<byte> destination,
        int strideBytes,
        ElementType to)
    {
        PackingRows checkedRows = PackingRows.Check(destination, strideBytes, to, rows, rowLength, nameof(destination), nameof(to));
        PackingFormats.RequireCode(code);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        PackingRows.RequireRoom(rows, scales.Length, nameof(scales));
        var job = new UnpackJob { Codes = codes, Scales = scales[..rows], Rows = checkedRows, Destination = destination };
        PackingFormats.Run(ref job, to, code);
    }

    ref struct PackJob : IPackingJob
    {
        internal PackingRows Rows;
        internal ScaleType ScaleType;
        internal Span<byte> Codes;
        internal Span<float> Scales;
        internal PackFlags Flags;

        public void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            int tileRows = Math.Clamp(TileBytes / TElement.SizeBytes / Rows.Length, 1, TileRows);
            Span<float> inverses = stackalloc float[TileRows];
            for (int first = 0; first < Rows.Count; first += tileRows)
            {
                PackingRows tile = Rows.Slice(first, Math.Min(tileRows, Rows.Count - first), TElement.SizeBytes);
                // The scales hold each row's largest magnitude until the division.
                Span<float> scales = Scales.Slice(first, tile.Count);
                bool finite = LargestMagnitudes<TElement>(tile, scales);
                if (!finite)
                    Flags |= FiniteMagnitudes<TElement>(tile, scales);
                AmaxScale.Compute(scales, TCode.LargestCode, ScaleType, scales, inverses[..tile.Count]);
                PackRows<TElement, TCode>(tile, inverses, Codes[(first * Rows.Length)..], finite);
            }
        }
    }

    ref struct UnpackJob : IPackingJob
    {
        internal ReadOnlySpan<byte> Codes;
        internal ReadOnlySpan<float> Scales;
        internal PackingRows Rows;
        internal Span<byte> Destination;

        public readonly void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode =>
            UnpackRows<TElement, TCode>(Codes, Scales, scaleStep: 1, Rows, Destination);
    }
}
