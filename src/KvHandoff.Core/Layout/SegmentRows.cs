using KvHandoff.Memory;

namespace KvHandoff.Layout;

/// <summary>Where the packed rows of a segment lie in the blocks of a sequence, and copies between that and one contiguous run.</summary>
public static class SegmentRows
{
    /// <summary>Most runs of a segment: one per token.</summary>
    public const int MaxRuns = KvSegment.GranuleTokens;

    /// <summary>Whether the tokens of a head are contiguous in a block, so that a socket can read and write them without a staging copy.</summary>
    public static bool IsDirect(in BlockGeometry geometry) =>
        geometry.TokensAreContiguous(KvPlane.Key) && (geometry.Planes == 1 || geometry.TokensAreContiguous(KvPlane.Value));

    /// <summary>Fills <paramref name="runs"/> with the rows of one head in token order, one run per block.</summary>
    /// <param name="view">The layer of the sequence; the tokens lie in its blocks, not in the tail.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V; its rows must be contiguous (<see cref="BlockGeometry.RowsAreContiguous"/>).</param>
    /// <param name="firstToken">First token.</param>
    /// <param name="tokens">Tokens, at most <see cref="MaxRuns"/>.</param>
    /// <param name="runs">Room for a run per block that the tokens lie in.</param>
    /// <returns>The runs.</returns>
    public static ReadOnlySpan<RowRun> Runs(in KvLayerView view, int head, KvPlane plane, int firstToken, int tokens, Span<RowRun> runs)
    {
        BlockGeometry geometry = view.Geometry;
        PlaneGeometry rows = geometry.Plane(plane);
        int count = 0;
        for (int token = firstToken, end = firstToken + tokens; token < end;)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            int step = Math.Min(end - token, geometry.BlockTokens - within);
            Span<byte> bytes = view.Plane(block, plane)[rows.RowOffset(head, within)..];
            runs[count++] = RowRun.Over(bytes, step, geometry.RowBytes, rows.TokenStrideBytes);
            token += step;
        }

        return runs[..count];
    }

    /// <summary>Copies rows out of the blocks, token after token. <paramref name="destination"/> holds tokens x row bytes.</summary>
    public static void Gather(in KvLayerView view, int head, KvPlane plane, int firstToken, int tokens, Span<byte> destination)
    {
        if (view.Geometry.RowsAreContiguous(plane))
        {
            Span<RowRun> runs = stackalloc RowRun[MaxRuns];
            new RowRuns(Runs(view, head, plane, firstToken, tokens, runs), view.Geometry.RowBytes).CopyTo(destination);
            return;
        }

        BlockGeometry geometry = view.Geometry;
        for (int token = firstToken, end = firstToken + tokens; token < end;)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            int step = Math.Min(end - token, geometry.BlockTokens - within);
            ChunkedRows.Gather(view.Plane(block, plane), geometry.Plane(plane), head, within, step, geometry.RowBytes, destination);
            destination = destination[(step * geometry.RowBytes)..];
            token += step;
        }
    }

    /// <summary>The inverse of <see cref="Gather"/>.</summary>
    public static void Scatter(in KvLayerView view, int head, KvPlane plane, int firstToken, int tokens, ReadOnlySpan<byte> source)
    {
        if (view.Geometry.RowsAreContiguous(plane))
        {
            Span<RowRun> runs = stackalloc RowRun[MaxRuns];
            new RowRuns(Runs(view, head, plane, firstToken, tokens, runs), view.Geometry.RowBytes).CopyFrom(source);
            return;
        }

        BlockGeometry geometry = view.Geometry;
        for (int token = firstToken, end = firstToken + tokens; token < end;)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            int step = Math.Min(end - token, geometry.BlockTokens - within);
            ChunkedRows.Scatter(view.Plane(block, plane), geometry.Plane(plane), head, within, step, geometry.RowBytes, source);
            source = source[(step * geometry.RowBytes)..];
            token += step;
        }
    }
}
