using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>
/// One granule of one layer of a sequence, all kv heads: where its rows lie for a socket, and their checksums. A value over
/// objects that live as long as the handoff, so that a frame allocates nothing.
/// </summary>
internal readonly struct GranuleRows
{
    private readonly KvBlockPool _pool;
    private readonly BlockTable _table;
    private readonly int _layerInGroup, _granule, _tokens;

    internal GranuleRows(KvSequence sequence, int layer, int granule, int totalTokens)
    {
        int group = sequence.Cache.Layout.GroupOf(layer);
        _pool = sequence.Cache.Pools[group];
        _table = sequence.Table(group);
        _layerInGroup = sequence.Cache.Layout.IndexInGroup(layer);
        _granule = granule;
        _tokens = KvSegment.TokensIn(granule, totalTokens);
    }

    /// <summary>Most ranges that <see cref="Ranges"/> yields for any granule of the group.</summary>
    internal static int MaxRanges(in BlockGeometry geometry) => geometry.KvHeads * geometry.Planes * RunsPerSegment(geometry);

    /// <summary>Appends the address ranges of all segments in frame order, joining neighbours.</summary>
    internal int Ranges(Span<IoRange> ranges)
    {
        BlockGeometry geometry = _pool.Geometry;
        Span<BlockRun> runs = stackalloc BlockRun[KvSegment.GranuleTokens];
        int count = 0;
        for (int head = 0; head < geometry.KvHeads; head++)
        {
            for (int plane = 0; plane < geometry.Planes; plane++)
            {
                int found = SegmentRows.Runs(geometry, head, (KvPlane)plane, _granule, _tokens, runs);
                for (int r = 0; r < found; r++)
                {
                    nint address = _pool.BlockAddress(_layerInGroup, _table[runs[r].Block].Slot) + runs[r].OffsetBytes;
                    if (count > 0 && ranges[count - 1].Address + ranges[count - 1].LengthBytes == address)
                        ranges[count - 1] = new IoRange(ranges[count - 1].Address, ranges[count - 1].LengthBytes + runs[r].LengthBytes);
                    else
                        ranges[count++] = new IoRange(address, runs[r].LengthBytes);
                }
            }
        }

        return count;
    }

    /// <summary>CRC-32C of one segment's rows where they lie.</summary>
    internal uint Checksum(int head, KvPlane plane)
    {
        Span<BlockRun> runs = stackalloc BlockRun[KvSegment.GranuleTokens];
        int found = SegmentRows.Runs(_pool.Geometry, head, plane, _granule, _tokens, runs);
        uint crc = 0;
        for (int r = 0; r < found; r++)
            crc = Crc32C.Append(crc, _pool.Block(_layerInGroup, _table[runs[r].Block].Slot).Slice(runs[r].OffsetBytes, runs[r].LengthBytes));
        return crc;
    }

    /// <summary>The rows of a segment that is one run in its block, so that a codec can work on the block itself.</summary>
    internal bool TryContiguous(int head, KvPlane plane, out Span<byte> rows)
    {
        Span<BlockRun> runs = stackalloc BlockRun[KvSegment.GranuleTokens];
        bool one = SegmentRows.Runs(_pool.Geometry, head, plane, _granule, _tokens, runs) == 1;
        rows = one ? _pool.Block(_layerInGroup, _table[runs[0].Block].Slot).Slice(runs[0].OffsetBytes, runs[0].LengthBytes) : default;
        return one;
    }

    private static int RunsPerSegment(in BlockGeometry geometry) => geometry.TokensAreContiguous
        ? Math.Min(KvSegment.GranuleTokens, (KvSegment.GranuleTokens + geometry.BlockTokens - 1) / geometry.BlockTokens + 1)
        : KvSegment.GranuleTokens;
}
