using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>Rows at one distance from each other in native (or pinned) memory: row r starts at <c>Address + r * StrideBytes</c>.</summary>
public readonly record struct RowRun(nint Address, int Rows, int StrideBytes)
{
    /// <summary>A run over bytes of a memory region. Bytes of a managed array must be pinned while the run is used.</summary>
    /// <exception cref="ArgumentException">The last row ends behind the bytes.</exception>
    public static unsafe RowRun Over(Span<byte> bytes, int rows, int rowBytes, int strideBytes)
    {
        if (rows < 1 || strideBytes < 0 || (long)(rows - 1) * strideBytes + rowBytes > bytes.Length)
            throw new ArgumentException($"{rows} rows of {rowBytes} bytes at a distance of {strideBytes} do not fit into {bytes.Length} bytes.", nameof(rows));
        return new RowRun((nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes)), rows, strideBytes);
    }
}

/// <summary>
/// The rows of one segment where they lie, in order: one run when a block holds them all, several when the blocks are small. A codec
/// reads and writes them without a copy in between.
/// </summary>
/// <remarks>Valid while the memory is; holds no lock and owns nothing.</remarks>
public readonly ref struct RowRuns
{
    private readonly Span<byte> _contiguous;
    private readonly ReadOnlySpan<RowRun> _runs;

    /// <summary>Rows in several runs.</summary>
    public RowRuns(ReadOnlySpan<RowRun> runs, int rowBytes)
    {
        _runs = runs;
        RowBytes = rowBytes;
        foreach (RowRun run in runs) Rows += run.Rows;
    }

    /// <summary>Rows laid end to end, in any memory.</summary>
    /// <exception cref="ArgumentException">The bytes are not a whole number of rows.</exception>
    public RowRuns(Span<byte> contiguous, int rowBytes)
    {
        if (rowBytes < 1 || contiguous.Length % rowBytes != 0)
            throw new ArgumentException($"{contiguous.Length} bytes are no whole number of rows of {rowBytes}.", nameof(rowBytes));
        _contiguous = contiguous;
        RowBytes = rowBytes;
        Rows = contiguous.Length / rowBytes;
    }

    /// <summary>Rows in all runs.</summary>
    public int Rows { get; }

    /// <summary>Bytes of one row.</summary>
    public int RowBytes { get; }

    /// <summary>Bytes of all rows.</summary>
    public int LengthBytes => Rows * RowBytes;

    /// <summary>Runs.</summary>
    public int Count => _runs.IsEmpty ? 1 : _runs.Length;

    /// <summary>The bytes of run <paramref name="index"/>, from its first row's start to its last row's end.</summary>
    public unsafe Span<byte> Run(int index, out int rows, out int strideBytes)
    {
        if (_runs.IsEmpty)
        {
            ArgumentOutOfRangeException.ThrowIfNotEqual(index, 0);
            rows = Rows;
            strideBytes = RowBytes;
            return _contiguous;
        }

        RowRun run = _runs[index];
        rows = run.Rows;
        strideBytes = run.StrideBytes;
        return new Span<byte>((void*)run.Address, (run.Rows - 1) * run.StrideBytes + RowBytes);
    }

    /// <summary>All rows as one span, when they lie end to end.</summary>
    public bool TryContiguous(out Span<byte> rows)
    {
        rows = Count == 1 ? Run(0, out _, out _) : default;
        return Count == 1 && rows.Length == LengthBytes;
    }

    /// <summary>Copies the rows, end to end, to <paramref name="destination"/>, which has room for <see cref="LengthBytes"/>.</summary>
    public void CopyTo(Span<byte> destination)
    {
        for (int i = 0; i < Count; i++)
        {
            Span<byte> run = Run(i, out int rows, out int stride);
            if (stride == RowBytes)
            {
                if (i + 1 < Count) RowPrefetch.All(Run(i + 1, out _, out _));
                run.CopyTo(destination);
                destination = destination[run.Length..];
                continue;
            }

            RowPrefetch.BehindEachRow(run, rows, stride, RowBytes);
            for (int row = 0; row < rows; row++, destination = destination[RowBytes..]) run.Slice(row * stride, RowBytes).CopyTo(destination);
        }
    }

    /// <summary>The inverse of <see cref="CopyTo"/>.</summary>
    public void CopyFrom(ReadOnlySpan<byte> source)
    {
        for (int i = 0; i < Count; i++)
        {
            Span<byte> run = Run(i, out int rows, out int stride);
            if (stride == RowBytes)
            {
                source[..run.Length].CopyTo(run);
                source = source[run.Length..];
                continue;
            }

            for (int row = 0; row < rows; row++, source = source[RowBytes..]) source[..RowBytes].CopyTo(run.Slice(row * stride, RowBytes));
        }
    }
}
