using System.Collections.Immutable;

namespace KvHandoff.Layout;

/// <summary>A box of one layer group's rows, in the numbers of the whole model and sequence.</summary>
/// <param name="Group">Layer group.</param>
/// <param name="Layers">Model layers; of this range those that belong to the group.</param>
/// <param name="KvHeads">Kv heads of the group.</param>
/// <param name="Tokens">Positions; the range begins with a granule and ends with one or with the sequence.</param>
public readonly record struct ShardPiece(int Group, IndexRange Layers, IndexRange KvHeads, IndexRange Tokens)
{
    /// <summary>The group's layers that the piece covers, ascending.</summary>
    public IEnumerable<int> LayersIn(KvCacheLayout layout)
    {
        IndexRange range = Layers;
        return layout.Groups[Group].Layers.Where(l => l >= range.Start && l < range.End);
    }

    /// <summary>Bytes of the piece as <paramref name="layout"/> stores it, scales that lie in the blocks included.</summary>
    public long Bytes(KvCacheLayout layout) => (long)LayersIn(layout).Count() * KvHeads.Count * BytesPerHead(layout.Groups[Group], Tokens.Count);

    /// <inheritdoc/>
    public override string ToString() => $"group {Group}: layers {Layers}, kv heads {KvHeads}, tokens {Tokens}";

    // Granule by granule, for a tile never spans granules and the bytes of a whole sequence exceed an int.
    private static long BytesPerHead(LayerGroup group, int tokens)
    {
        (int granules, int rest) = Math.DivRem(tokens, KvSegment.GranuleTokens);
        long bytes = 0;
        for (int plane = 0; plane < group.Planes; plane++)
        {
            StorageForm form = group.Form((KvPlane)plane);
            bytes += granules * Of(form, KvSegment.GranuleTokens) + Of(form, rest);
        }

        return bytes;

        long Of(StorageForm form, int of) => (long)form.RowsBytes(of, group.HeadDim) + (form.HasStoredScales ? form.ScaleBytes(of, group.HeadDim) : 0);
    }
}

/// <summary>What one source sends to one target.</summary>
/// <param name="Source">Index of the source shard.</param>
/// <param name="Target">Index of the target shard.</param>
/// <param name="Pieces">The pieces, which do not overlap: by group, then by layer, head and token.</param>
/// <param name="Bytes">Their bytes as the layout stores them.</param>
public sealed record ShardPair(int Source, int Target, ImmutableArray<ShardPiece> Pieces, long Bytes);
