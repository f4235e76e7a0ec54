namespace KvHandoff.Memory;

/// <summary>Reads or writes the rows of <see cref="RowRuns"/> piece by piece, in order. A copy goes on from where it was taken.</summary>
public ref struct RowCursor(RowRuns rows)
{
    private readonly RowRuns _rows = rows;
    private int _run, _row;

    /// <summary>Bytes of one row.</summary>
    public readonly int RowBytes => _rows.RowBytes;

    /// <summary>Rows not yet passed.</summary>
    public int Remaining { get; private set; } = rows.Rows;

    /// <summary>The next rows that lie at one distance, at most <paramref name="most"/> of them.</summary>
    /// <returns>Their bytes, from the first row's start to the last row's end; empty when none is left.</returns>
    public Span<byte> Next(int most, out int rows, out int strideBytes)
    {
        if (Remaining == 0 || most <= 0)
        {
            rows = strideBytes = 0;
            return default;
        }

        Span<byte> run = _rows.Run(_run, out int inRun, out strideBytes);
        rows = Math.Min(most, inRun - _row);
        Span<byte> piece = run.Slice(_row * strideBytes, (rows - 1) * strideBytes + RowBytes);
        Remaining -= rows;
        _row += rows;
        if (_row == inRun) (_run, _row) = (_run + 1, 0);
        if (strideBytes != RowBytes) RowPrefetch.BehindEachRow(piece, rows, strideBytes, RowBytes);
        else if (_run < _rows.Count && _row == 0) RowPrefetch.All(_rows.Run(_run, out _, out _));
        return piece;
    }

    /// <summary>Copies the next rows, end to end, and passes them.</summary>
    public void CopyTo(int count, Span<byte> destination)
    {
        while (count > 0)
        {
            Span<byte> piece = Next(count, out int rows, out int stride);
            if (rows == 0) throw new InvalidOperationException($"{count} more rows were asked for; none is left.");
            for (int row = 0; row < rows; row++) piece.Slice(row * stride, RowBytes).CopyTo(destination[(row * RowBytes)..]);
            destination = destination[(rows * RowBytes)..];
            count -= rows;
        }
    }
}
