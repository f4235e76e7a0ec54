using System.Runtime.InteropServices;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>Writes new rows of one head into a sequence's blocks: as they come, or through the tail into tiles that are packed when full.</summary>
internal static class RowAppender
{
    /// <summary>Appends tokens of one head; the view ends with the last of them. <paramref name="stride"/> is the distance of tokens in the source, in elements.</summary>
    internal static void Append(in KvLayerView view, int head, KvPlane plane, int start, int tokens, ReadOnlySpan<float> source, int stride)
    {
        LayerGroup group = view.Group;
        int dim = group.HeadDim;
        if (!group.HasTail)
        {
            AppendStored(view, head, plane, start, tokens, source, stride);
            return;
        }

        Span<BFloat16> tail = MemoryMarshal.Cast<byte, BFloat16>(view.Tail(head, plane));
        for (int t = 0; t < tokens; t++)
        {
            int within = (start + t) % group.TileTokens;
            ElementConversion.FromSingle(source.Slice(t * stride, dim), tail.Slice(within * dim, dim));
            if (within == group.TileTokens - 1) PackTile(view, head, plane, start + t - within, group.TileTokens);
        }
    }

    /// <summary>Packs the rows of a full tail into the tile of the blocks that starts at <paramref name="token"/>.</summary>
    internal static void PackTile(in KvLayerView view, int head, KvPlane plane, int token, int tokens)
    {
        var rows = new RowRuns(view.Tail(head, plane)[..(tokens * view.Group.HeadDim * sizeof(ushort))], view.Group.HeadDim * sizeof(ushort));
        StoredRows.Pack(view, head, plane, token, rows, ElementType.BFloat16);
    }

    private static void AppendStored(in KvLayerView view, int head, KvPlane plane, int start, int tokens, ReadOnlySpan<float> source, int stride)
    {
        LayerGroup group = view.Group;
        StorageForm form = group.Form(plane);
        bool direct = view.Geometry.RowsAreContiguous(plane);
        byte[]? rented = direct ? null : ScratchBuffers.Rent(group.RowBytes);
        for (int t = 0; t < tokens; t++)
        {
            Span<byte> row = direct ? view.Row(head, plane, start + t) : rented.AsSpan(0, group.RowBytes);
            ReadOnlySpan<float> from = source.Slice(t * stride, group.HeadDim);
            if (form.IsScaled)
                FixedScalePacking.Pack(MemoryMarshal.AsBytes(from), group.HeadDim * sizeof(float), ElementType.Float32, 1, group.HeadDim, group.ElementType, view.StaticScale(head, plane), row);
            else
                ElementConversion.Convert(MemoryMarshal.AsBytes(from), ElementType.Float32, row, group.ElementType);
            if (!direct) SegmentRows.Scatter(view, head, plane, start + t, 1, row);
        }

        if (rented is not null) ScratchBuffers.Return(rented);
    }
}
