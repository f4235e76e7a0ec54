namespace KvHandoff.Layout;

/// <summary>
/// The unit that is encoded, checksummed and verified: the rows of one kv head of K or V of one layer for one granule of tokens,
/// token-major. Granules count from position 0, so a segment is the same whatever the block sizes and shards of both sides are.
/// </summary>
public readonly record struct KvSegment(int Layer, int Head, KvPlane Plane, int Granule)
{
    /// <summary>Tokens per granule.</summary>
    public const int GranuleTokens = 64;

    /// <summary>Granules of a sequence of <paramref name="tokens"/> tokens.</summary>
    public static int GranuleCount(int tokens) => (int)(((long)tokens + GranuleTokens - 1) / GranuleTokens);

    /// <summary>Tokens of granule <paramref name="granule"/> in a sequence of <paramref name="tokens"/> tokens.</summary>
    public static int TokensIn(int granule, int tokens) => Math.Min(GranuleTokens, tokens - granule * GranuleTokens);
}

/// <summary>A contiguous run of row bytes inside one block.</summary>
public readonly record struct BlockRun(int Block, int OffsetBytes, int LengthBytes);

/// <summary>Where a segment's rows lie in the blocks of a sequence, and copies between that and one contiguous run.</summary>
public static class SegmentRows
{
    /// <summary>Whether whole runs of tokens are contiguous, so that a socket can read and write the blocks without a staging copy.</summary>
    public static bool IsDirect(in BlockGeometry geometry) => geometry.TokensAreContiguous;

    /// <summary>Fills <paramref name="runs"/> with the contiguous runs of the segment in token order.</summary>
    /// <returns>The number of runs: one when a block holds the whole granule, at most one per token.</returns>
    public static int Runs(in BlockGeometry geometry, int head, KvPlane plane, int granule, int tokens, Span<BlockRun> runs)
    {
        int count = 0;
        int token = granule * KvSegment.GranuleTokens, end = token + tokens;
        while (token < end)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            int step = geometry.TokensAreContiguous ? Math.Min(end - token, geometry.BlockTokens - within) : 1;
            runs[count++] = new BlockRun(block, geometry.RowOffset(head, plane, within), step * geometry.RowBytes);
            token += step;
        }

        return count;
    }

    /// <summary>Copies a segment's rows out of the blocks, token-major. <paramref name="rows"/> holds tokens x row bytes.</summary>
    public static void Gather(in KvLayerView view, int head, KvPlane plane, int granule, int tokens, Span<byte> rows)
    {
        Span<BlockRun> runs = stackalloc BlockRun[KvSegment.GranuleTokens];
        int count = Runs(view.Geometry, head, plane, granule, tokens, runs);
        int at = 0;
        foreach (BlockRun run in runs[..count])
        {
            view.Block(run.Block).Slice(run.OffsetBytes, run.LengthBytes).CopyTo(rows[at..]);
            at += run.LengthBytes;
        }
    }

    /// <summary>The inverse of <see cref="Gather"/>.</summary>
    public static void Scatter(in KvLayerView view, int head, KvPlane plane, int granule, int tokens, ReadOnlySpan<byte> rows)
    {
        Span<BlockRun> runs = stackalloc BlockRun[KvSegment.GranuleTokens];
        int count = Runs(view.Geometry, head, plane, granule, tokens, runs);
        int at = 0;
        foreach (BlockRun run in runs[..count])
        {
            rows.Slice(at, run.LengthBytes).CopyTo(view.Block(run.Block).Slice(run.OffsetBytes, run.LengthBytes));
            at += run.LengthBytes;
        }
    }
}
