namespace KvHandoff.Numerics;

/// <summary>Rows at a stride, checked once: whatever indexes inside them stays inside <see cref="Bytes"/>.</summary>
readonly ref struct PackingRows
{
    PackingRows(ReadOnlySpan<byte> bytes, int strideBytes, int count, int length)
    {
        Bytes = bytes;
        StrideBytes = strideBytes;
        Count = count;
        Length = length;
    }

    /// <summary>From the first row's first element to the last row's last.</summary>
    internal ReadOnlySpan<byte> Bytes { get; }

    internal int StrideBytes { get; }

    internal int Count { get; }

    /// <summary>Elements of one row.</summary>
    internal int Length { get; }

    internal int Elements => Count * Length;

    /// <summary>Rows <paramref name="first"/> up to <paramref name="first"/> + <paramref name="count"/>, at least one.</summary>
    internal PackingRows Slice(int first, int count, int elementBytes) =>
        new(Bytes.Slice(first * StrideBytes, ((count - 1) * StrideBytes) + (Length * elementBytes)), StrideBytes, count, Length);

    /// <summary>Part of every row, as rows.</summary>
    internal PackingRows Columns(int first, int length, int elementBytes) => Count == 0
        ? this
        : new(
            Bytes.Slice(first * elementBytes, ((Count - 1) * StrideBytes) + (length * elementBytes)), StrideBytes, Count, length);

    /// <summary>
    /// These rows as a single one, where they lie end to end and are whole numbers of <paramref name="granule"/> elements.
    /// </summary>
    internal PackingRows Joined(int elementBytes, int granule) =>
        Count > 1 && StrideBytes == Length * elementBytes && Length % granule == 0 ? new(Bytes, Bytes.Length, 1, Elements) : this;

    /// <summary>Runs of elements end to end, from a place inside these rows on, as rows of their own.</summary>
    internal PackingRows Neighbours(int offsetBytes, int count, int length, int elementBytes) =>
        new(Bytes.Slice(offsetBytes, count * length * elementBytes), length * elementBytes, count, length);

    internal static PackingRows Check(
        ReadOnlySpan<byte> bytes, int strideBytes, ElementType type, int rows, int rowLength, string parameter, string typeParameter)
    {
        if (type is not (ElementType.Float32 or ElementType.Float16 or ElementType.BFloat16))
        {
            throw new ArgumentOutOfRangeException(
                typeParameter, type, $"Element type {(byte)type} cannot be packed; allowed are 1 (fp32), 2 (fp16) and 3 (bf16).");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowLength);
        long rowBytes = (long)rowLength * type.SizeBytes();
        if (strideBytes < rowBytes)
        {
            throw new ArgumentOutOfRangeException(
                nameof(strideBytes), strideBytes, $"A stride of {strideBytes} bytes is below the {rowBytes} bytes of a row.");
        }

        long needed = rows == 0 ? 0 : ((rows - 1L) * strideBytes) + rowBytes;
        if (bytes.Length < needed)
        {
            throw new ArgumentException(
                $"{rows} rows of {rowLength} {type.Name()} elements at a stride of {strideBytes} bytes take {needed} bytes; the span has {bytes.Length}.",
                parameter);
        }

        return new(bytes[..(int)needed], strideBytes, rows, rowLength);
    }

    internal static void RequireRoom(long needed, int length, string parameter)
    {
        if (length < needed)
            throw new ArgumentException($"The span holds {length} elements where {needed} are needed.", parameter);
    }
}
