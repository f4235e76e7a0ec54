namespace KvHandoff.Numerics;

/// <summary>
/// Packs rows to 8-bit codes with one given scale for all of them (the static scale of a tensor or of a head, as engines keep
/// it), and unpacks them.
/// </summary>
/// <remarks>
/// The arithmetic, the special numbers, the layout and the guarantees are those of <see cref="RowScaledPacking"/> but for the
/// scale: <c>inverse = 1 / scale</c>, and what lies beyond the largest code saturates. Saturated finite elements are not reported.
/// </remarks>
public static class FixedScalePacking
{
    /// <summary>Packs rows.</summary>
    /// <param name="source">Rows at a stride.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="from">BFloat16, Float16 or Float32.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="scale">What a code of 1 stands for: finite and at least 2^-120, so that its inverse is finite.</param>
    /// <param name="codes">Receives <c>rows * rowLength</c> codes.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A format, the scale, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static PackFlags Pack(
        ReadOnlySpan<byte> source,
        int strideBytes,
        ElementType from,
        int rows,
        int rowLength,
        ElementType code,
        float scale,
        Span<byte> codes)
    {
        PackingRows checkedRows = PackingRows.Check(source, strideBytes, from, rows, rowLength, nameof(source), nameof(from));
        PackingFormats.RequireCode(code);
        if (!(scale >= AmaxScale.Smallest && float.IsFinite(scale)))
            throw new ArgumentOutOfRangeException(nameof(scale), scale, $"A scale of {scale} is not a finite number of at least 2^-120.");
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        var job = new PackJob { Rows = checkedRows, Inverse = 1f / scale, Codes = codes };
        PackingFormats.Run(ref job, from, code);
        return job.Flags;
    }

    /// <summary>Unpacks rows.</summary>
    /// <param name="codes"><c>rows * rowLength</c> codes.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scale">What a code of 1 stands for.</param>
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
        float scale,
        Span<byte> destination,
        int strideBytes,
        ElementType to)
    {
        PackingRows checkedRows = PackingRows.Check(destination, strideBytes, to, rows, rowLength, nameof(destination), nameof(to));
        PackingFormats.RequireCode(code);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        var job = new UnpackJob { Codes = codes, Scale = scale, Rows = checkedRows, Destination = destination };
        PackingFormats.Run(ref job, to, code);
    }

    ref struct PackJob : IPackingJob
    {
        internal PackingRows Rows;
        internal float Inverse;
        internal Span<byte> Codes;
        internal PackFlags Flags;

        public void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            Span<float> largest = stackalloc float[RowScaledPacking.TileRows];
            Span<float> inverses = stackalloc float[RowScaledPacking.TileRows];
            inverses.Fill(Inverse);
            for (int first = 0; first < Rows.Count; first += RowScaledPacking.TileRows)
            {
                PackingRows tile = Rows.Slice(first, Math.Min(RowScaledPacking.TileRows, Rows.Count - first), TElement.SizeBytes);
                bool fits = RowScaledPacking.LargestMagnitudes<TElement>(tile, largest);
                if (fits)
                    fits = Fp8Anchors.Fits(largest[..tile.Count], inverses, TCode.LargestCode);
                else
                    Flags |= RowScaledPacking.FiniteMagnitudes<TElement>(tile, largest);
                RowScaledPacking.PackRows<TElement, TCode>(tile, inverses, Codes[(first * Rows.Length)..], fits);
            }
        }
    }

    ref struct UnpackJob : IPackingJob
    {
        internal ReadOnlySpan<byte> Codes;
        internal float Scale;
        internal PackingRows Rows;
        internal Span<byte> Destination;

        public readonly void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode =>
            RowScaledPacking.UnpackRows<TElement, TCode>(Codes, [Scale], scaleStep: 0, Rows, Destination);
    }
}
