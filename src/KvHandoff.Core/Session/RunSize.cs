using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Session;

/// <summary>Runs of bytes that lie together, of one length.</summary>
/// <param name="Bytes">Length of the run.</param>
/// <param name="Runs">How many of them one granule (64 tokens, all heads of the cache) of one layer has.</param>
public readonly record struct RunSize(int Bytes, int Runs)
{
    /// <summary>
    /// The runs of a granule in blocks of one geometry, shortest first: what a socket or a copy is given one by one. Neighbours in the order of travel
    /// count as one run inside a block; blocks are taken to lie apart.
    /// </summary>
    internal static ImmutableArray<RunSize> Of(LayerGroup group)
    {
        BlockGeometry geometry = group.Geometry;
        var counts = new SortedDictionary<int, int>();
        int blocks = (KvSegment.GranuleTokens + geometry.BlockTokens - 1) / geometry.BlockTokens, tokens = Math.Min(KvSegment.GranuleTokens, geometry.BlockTokens);
        int start = 0, length = 0, inBlock = -1;
        for (int head = 0; head < geometry.KvHeads; head++)
        {
            for (int p = 0; p < geometry.Planes; p++)
            {
                var plane = (KvPlane)p;
                PlaneGeometry rows = geometry.Plane(plane);
                if (!geometry.TokensAreContiguous(plane))
                {
                    // Gathered piece by piece: a row, or what of it lies together.
                    Count(rows.ChunkBytes, geometry.RowBytes / rows.ChunkBytes * KvSegment.GranuleTokens);
                    continue;
                }

                for (int block = 0; block < blocks; block++) Append(block, rows.OffsetBytes + rows.RowOffset(head, 0), tokens * geometry.RowBytes);
                StorageForm form = group.Form(plane);
                for (int block = 0; block < blocks && form.HasStoredScales; block++) Append(block, geometry.ScaleOffset(head, plane), form.ScaleBytes(tokens, group.HeadDim));
            }
        }

        if (length > 0) Count(length, 1);
        return [.. counts.Select(c => new RunSize(c.Key, c.Value))];

        void Append(int block, int offset, int bytes)
        {
            if (block == inBlock && offset == start + length)
            {
                length += bytes;
                return;
            }

            if (length > 0) Count(length, 1);
            (inBlock, start, length) = (block, offset, bytes);
        }

        void Count(int bytes, int runs) => counts[bytes] = counts.GetValueOrDefault(bytes) + runs;
    }
}
