namespace KvHandoff.Numerics;

/// <summary>
/// Packs tiles of rows (the tokens of one kv head, say) to 8-bit codes with one scale a channel, that is a column, and unpacks
/// them. In steps, because the rows of a tile may lie in several blocks: magnitudes of all of them, then scales, then codes.
/// </summary>
/// <remarks>
/// The arithmetic, the special numbers, the layout and the guarantees are those of <see cref="RowScaledPacking"/>, with the columns
/// of a tile in place of the rows.
/// </remarks>
public static partial class ChannelScaledPacking
{
    /// <summary>Raises the running largest magnitudes of the channels to those of the finite elements of these rows.</summary>
    /// <param name="source">Rows at a stride.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="from">BFloat16, Float16 or Float32.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, that is channels, at least 1.</param>
    /// <param name="largest">One magnitude for each channel: zeros before the first rows of a tile.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A format, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static PackFlags AccumulateMagnitudes(
        ReadOnlySpan<byte> source, int strideBytes, ElementType from, int rows, int rowLength, Span<float> largest)
    {
        PackingRows checkedRows = PackingRows.Check(source, strideBytes, from, rows, rowLength, nameof(source), nameof(from));
        PackingRows.RequireRoom(rowLength, largest.Length, nameof(largest));
        return from switch
        {
            ElementType.BFloat16 => Accumulate<BFloat16Element>(checkedRows, largest[..rowLength]),
            ElementType.Float16 => Accumulate<HalfElement>(checkedRows, largest[..rowLength]),
            _ => Accumulate<SingleElement>(checkedRows, largest[..rowLength]),
        };
    }

    /// <summary>The scales of channels with these largest magnitudes, and what <see cref="Pack"/> multiplies by.</summary>
    /// <param name="largest">Finite magnitudes, one for each channel.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="scaleType">Float32, or BFloat16 to round the scales to what travels in two bytes.</param>
    /// <param name="scales">Receives one scale for each magnitude; may be the span of magnitudes itself.</param>
    /// <param name="inverses">Receives one over each scale.</param>
    /// <exception cref="ArgumentOutOfRangeException">A format is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void ScalesOf(
        ReadOnlySpan<float> largest, ElementType code, ScaleType scaleType, Span<float> scales, Span<float> inverses)
    {
        PackingFormats.RequireCode(code);
        AmaxScale.RequireType(scaleType);
        PackingRows.RequireRoom(largest.Length, scales.Length, nameof(scales));
        PackingRows.RequireRoom(largest.Length, inverses.Length, nameof(inverses));
        AmaxScale.Compute(
            largest, PackingFormats.LargestCode(code), scaleType, scales[..largest.Length], inverses[..largest.Length]);
    }

    /// <summary>Packs rows of a tile; what lies beyond the largest code, by other inverses than the tile's, saturates.</summary>
    /// <param name="source">Rows at a stride.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="from">BFloat16, Float16 or Float32.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="inverses">One inverse scale for each channel.</param>
    /// <param name="codes">Receives <c>rows * rowLength</c> codes, row by row.</param>
    /// <exception cref="ArgumentOutOfRangeException">A format, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Pack(
        ReadOnlySpan<byte> source,
        int strideBytes,
        ElementType from,
        int rows,
        int rowLength,
        ElementType code,
        ReadOnlySpan<float> inverses,
        Span<byte> codes)
    {
        PackingRows checkedRows = PackingRows.Check(source, strideBytes, from, rows, rowLength, nameof(source), nameof(from));
        PackingFormats.RequireCode(code);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        PackingRows.RequireRoom(rowLength, inverses.Length, nameof(inverses));
        var job = new PackJob { Rows = checkedRows, Inverses = inverses[..rowLength], Codes = codes };
        PackingFormats.Run(ref job, from, code);
    }

    /// <summary>Unpacks rows of a tile.</summary>
    /// <param name="codes"><c>rows * rowLength</c> codes.</param>
    /// <param name="code">Fp8E4M3, Fp8E5M2 or Int8.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scales">One scale for each channel.</param>
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
        PackingRows.RequireRoom(rowLength, scales.Length, nameof(scales));
        var job = new UnpackJob { Codes = codes, Scales = scales[..rowLength], Rows = checkedRows, Destination = destination };
        PackingFormats.Run(ref job, to, code);
    }

    static PackFlags Accumulate<TElement>(PackingRows rows, Span<float> largest)
        where TElement : IRowElement
    {
        PackFlags flags = PackFlags.None;
        int done = rows.Count == 0 ? 0 : AccumulateVectors<TElement>(rows, largest, ref flags);
        return flags | AccumulateScalar<TElement>(rows, done, largest[done..]);
    }

    ref struct PackJob : IPackingJob
    {
        internal PackingRows Rows;
        internal ReadOnlySpan<float> Inverses;
        internal Span<byte> Codes;

        public readonly void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            for (int first = 0; Rows.Count != 0 && first < Rows.Length; first += ChunkChannels)
            {
                int channels = Math.Min(ChunkChannels, Rows.Length - first);
                PackChunk<TElement, TCode>(
                    Rows.Columns(first, channels, TElement.SizeBytes), Inverses.Slice(first, channels), Codes[first..], Rows.Length);
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
            where TCode : IPackedCode
        {
            for (int first = 0; Rows.Count != 0 && first < Rows.Length; first += ChunkChannels)
            {
                int channels = Math.Min(ChunkChannels, Rows.Length - first);
                UnpackChunk<TElement, TCode>(
                    Codes[first..],
                    Rows.Length,
                    Scales.Slice(first, channels),
                    Rows.Columns(first, channels, TElement.SizeBytes),
                    Destination[(first * TElement.SizeBytes)..]);
            }
        }
    }
}
