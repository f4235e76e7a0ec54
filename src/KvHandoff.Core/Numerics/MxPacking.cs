namespace KvHandoff.Numerics;

/// <summary>
/// MXFP8 of the OCP Microscaling Formats (MX) specification 1.0: FP8 codes in groups of 32 elements of a row, each with a
/// power-of-two scale. The last group of a row holds what is left.
/// </summary>
/// <remarks>
/// <para>The scale of a group is <see cref="E8M0.FromAmax"/> of its largest finite magnitude. <c>code = C(x / scale)</c>, the
/// division exact but for numbers far below the smallest code, rounded to nearest even and saturating; unpacked
/// <c>x = float(code) * scale</c>, exact, then rounded to nearest even to the destination's type. A group without a finite
/// number other than zero has the scale byte 0x00. A NaN stays a NaN of its sign, an infinity becomes the largest code; neither
/// enters the scale. A scale byte of 0xFF, which packing never writes, unpacks its group to NaN.</para>
/// <para>Layout and guarantees are those of <see cref="RowScaledPacking"/>; each row has <c>ceil(rowLength / 32)</c> scale bytes,
/// contiguous like the codes.</para>
/// </remarks>
public static class MxPacking
{
    /// <summary>Elements that share a scale.</summary>
    public const int GroupElements = 32;

    // Groups whose scales are found before the first is converted.
    const int TileGroups = RowScaledPacking.TileRows;

    /// <summary>Scale bytes of one row.</summary>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The row length is below 1.</exception>
    public static int GroupsPerRow(int rowLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowLength);
        return ((rowLength - 1) / GroupElements) + 1;
    }

    /// <summary>Packs rows.</summary>
    /// <param name="source">Rows at a stride.</param>
    /// <param name="strideBytes">Bytes from the start of one row to that of the next, at least those of a row.</param>
    /// <param name="from">BFloat16, Float16 or Float32.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="code">Fp8E4M3 or Fp8E5M2.</param>
    /// <param name="rule">How a group's scale follows from its largest magnitude.</param>
    /// <param name="codes">Receives <c>rows * rowLength</c> codes.</param>
    /// <param name="scales">Receives one <see cref="E8M0"/> for each group, row by row.</param>
    /// <returns>Whether a NaN or an infinity was met.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A format, the rule, the row count, the row length or the stride is not allowed.</exception>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static PackFlags Pack(
        ReadOnlySpan<byte> source,
        int strideBytes,
        ElementType from,
        int rows,
        int rowLength,
        ElementType code,
        MxRule rule,
        Span<byte> codes,
        Span<byte> scales)
    {
        PackingRows checkedRows = PackingRows.Check(source, strideBytes, from, rows, rowLength, nameof(source), nameof(from));
        // Also checks the code and the rule.
        _ = E8M0.FromAmax(0f, code, rule);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        PackingRows.RequireRoom((long)rows * GroupsPerRow(rowLength), scales.Length, nameof(scales));
        var job = new PackJob { Rows = checkedRows, Code = code, Rule = rule, Codes = codes, Scales = scales };
        PackingFormats.Run(ref job, from, code);
        return job.Flags;
    }

    /// <summary>Unpacks rows.</summary>
    /// <param name="codes"><c>rows * rowLength</c> codes.</param>
    /// <param name="code">Fp8E4M3 or Fp8E5M2.</param>
    /// <param name="rows">Number of rows; may be zero.</param>
    /// <param name="rowLength">Elements of one row, at least 1.</param>
    /// <param name="scales">One <see cref="E8M0"/> for each group, row by row.</param>
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
        ReadOnlySpan<byte> scales,
        Span<byte> destination,
        int strideBytes,
        ElementType to)
    {
        PackingRows checkedRows = PackingRows.Check(destination, strideBytes, to, rows, rowLength, nameof(destination), nameof(to));
        _ = E8M0.FromAmax(0f, code, MxRule.Ceiling);
        PackingRows.RequireRoom((long)rows * rowLength, codes.Length, nameof(codes));
        PackingRows.RequireRoom((long)rows * GroupsPerRow(rowLength), scales.Length, nameof(scales));
        var job = new UnpackJob { Codes = codes, Scales = scales, Rows = checkedRows, Destination = destination };
        PackingFormats.Run(ref job, to, code);
    }

    ref struct PackJob : IPackingJob
    {
        internal PackingRows Rows;
        internal ElementType Code;
        internal MxRule Rule;
        internal Span<byte> Codes;
        internal Span<byte> Scales;
        internal PackFlags Flags;

        public void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            Rows = Rows.Joined(TElement.SizeBytes, GroupElements);
            int groups = GroupsPerRow(Rows.Length);
            for (int row = 0; row < Rows.Count; row++)
            {
                for (int first = 0; first < groups;)
                {
                    GroupRows groupRows = GroupRows.Of(Rows, row, first, TileGroups, TElement.SizeBytes);
                    PackGroups<TElement, TCode>(
                        groupRows.Rows,
                        Codes[((row * Rows.Length) + (first * GroupElements))..],
                        Scales.Slice((row * groups) + first, groupRows.Rows.Count));
                    first += groupRows.Rows.Count;
                }
            }
        }

        void PackGroups<TElement, TCode>(PackingRows groups, Span<byte> codes, Span<byte> scales)
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            Span<float> largest = stackalloc float[TileGroups];
            Span<float> inverses = stackalloc float[TileGroups];
            largest = largest[..groups.Count];
            bool finite = RowScaledPacking.LargestMagnitudes<TElement>(groups, largest);
            if (!finite)
                Flags |= RowScaledPacking.FiniteMagnitudes<TElement>(groups, largest);
            uint largestCode = BitConverter.SingleToUInt32Bits(TCode.LargestCode);
            for (int i = 0; i < largest.Length; i++)
            {
                E8M0 scale = E8M0.FromMagnitude(BitConverter.SingleToUInt32Bits(largest[i]), largestCode, Code, Rule);
                scales[i] = scale.Bits;
                // All codes of a group of zeros are zeros under any scale; 1 is one that the fast form takes.
                inverses[i] = largest[i] == 0f ? 1f : scale.Inverse;
            }

            bool fits = finite && Fp8Anchors.Fits(largest, inverses, TCode.LargestCode);
            RowScaledPacking.PackRows<TElement, TCode>(groups, inverses, codes, fits);
        }
    }

    ref struct UnpackJob : IPackingJob
    {
        internal ReadOnlySpan<byte> Codes;
        internal ReadOnlySpan<byte> Scales;
        internal PackingRows Rows;
        internal Span<byte> Destination;

        public void Run<TElement, TCode>()
            where TElement : IRowElement
            where TCode : IPackedCode
        {
            Rows = Rows.Joined(TElement.SizeBytes, GroupElements);
            Span<float> scales = stackalloc float[TileGroups];
            int groups = GroupsPerRow(Rows.Length);
            for (int row = 0; row < Rows.Count; row++)
            {
                for (int first = 0; first < groups;)
                {
                    GroupRows groupRows = GroupRows.Of(Rows, row, first, TileGroups, TElement.SizeBytes);
                    ReadOnlySpan<byte> bytes = Scales.Slice((row * groups) + first, groupRows.Rows.Count);
                    for (int i = 0; i < bytes.Length; i++)
                        scales[i] = (float)E8M0.FromBits(bytes[i]);
                    RowScaledPacking.UnpackRows<TElement, TCode>(
                        Codes[((row * Rows.Length) + (first * GroupElements))..],
                        scales,
                        scaleStep: 1,
                        groupRows.Rows,
                        Destination[groupRows.OffsetBytes..]);
                    first += groupRows.Rows.Count;
                }
            }
        }
    }

    /// <summary>Neighbouring groups of one row, seen as rows themselves: full ones, or the ragged last one alone.</summary>
    readonly ref struct GroupRows
    {
        internal PackingRows Rows { get; private init; }

        internal int OffsetBytes { get; private init; }

        internal static GroupRows Of(PackingRows rows, int row, int firstGroup, int mostGroups, int elementBytes)
        {
            int first = firstGroup * GroupElements;
            int full = (rows.Length - first) / GroupElements;
            int count = full == 0 ? 1 : Math.Min(full, mostGroups);
            int length = full == 0 ? rows.Length - first : GroupElements;
            int offset = (row * rows.StrideBytes) + (first * elementBytes);
            return new() { Rows = rows.Neighbours(offset, count, length, elementBytes), OffsetBytes = offset };
        }
    }
}
