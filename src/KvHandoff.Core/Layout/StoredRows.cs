using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// Rows of one head between their form in a sequence's blocks (any order, any <see cref="StorageForm"/>) and plain floating-point rows.
/// </summary>
/// <remarks>Thread-safe for different tokens, heads or planes. Orders that scatter a row's elements rent a scratch buffer.</remarks>
public static class StoredRows
{
    /// <summary>Packs rows into blocks whose form is 8 bits with scales.</summary>
    /// <param name="view">The layer of the sequence.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="firstToken">First token; a tile's start where scales cover tiles.</param>
    /// <param name="source">The rows, whole tiles but for the last.</param>
    /// <param name="from">Their type: BF16, FP16 or FP32.</param>
    /// <returns>What was met besides finite numbers.</returns>
    public static PackFlags Pack(in KvLayerView view, int head, KvPlane plane, int firstToken, RowRuns source, ElementType from)
    {
        BlockGeometry geometry = view.Geometry;
        StorageForm form = view.Group.Form(plane);
        int dim = geometry.HeadDim;
        bool inPlace = geometry.TokensAreContiguous(plane);
        byte[]? rented = inPlace ? null : ScratchBuffers.Rent(KvSegment.GranuleTokens * dim);
        var cursor = new RowCursor(source);
        PackFlags flags = PackFlags.None;
        for (int token = firstToken, end = firstToken + source.Rows; token < end;)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            int step = Math.Min(Math.Min(end - token, geometry.BlockTokens - within), KvSegment.GranuleTokens);
            Span<byte> codes = inPlace
                ? view.Plane(block, plane).Slice(geometry.Plane(plane).RowOffset(head, within), step * dim)
                : rented.AsSpan(0, step * dim);
            flags |= PackedRows.Pack(form, ref cursor, from, step, dim, view.StaticScale(head, plane), codes, ScalesAt(view, form, block, head, plane, within));
            if (!inPlace) SegmentRows.Scatter(view, head, plane, token, step, codes);
            token += step;
        }

        if (rented is not null) ScratchBuffers.Return(rented);
        return flags;
    }

    /// <summary>
    /// Stores plain rows in whatever form the blocks have: converted, packed tile by tile, or, behind the last whole tile, in the tail.
    /// </summary>
    /// <param name="view">The layer of the sequence, up to the last token that it is to hold.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="firstToken">First token; a tile's start where scales lie in the blocks.</param>
    /// <param name="source">The rows.</param>
    /// <param name="from">Their type: a floating-point format that is not packed.</param>
    public static PackFlags Store(in KvLayerView view, int head, KvPlane plane, int firstToken, RowRuns source, ElementType from)
    {
        StorageForm form = view.Group.Form(plane);
        int rowBytes = source.RowBytes, dim = view.Group.HeadDim;
        if (form.IsScaled && from.SizeBytes() == 1) return StoreWidened(view, head, plane, firstToken, source, from);
        byte[] rented = ScratchBuffers.Rent(source.LengthBytes + KvSegment.GranuleTokens * view.Geometry.RowBytes);
        Span<byte> rows = rented.AsSpan(0, source.LengthBytes), converted = rented.AsSpan(source.LengthBytes);
        if (source.TryContiguous(out Span<byte> inPlace)) rows = inPlace;
        else source.CopyTo(rows);

        PackFlags flags = PackFlags.None;
        int packed = Math.Clamp(view.PackedTokens - firstToken, 0, source.Rows);
        if (packed > 0 && form.IsScaled)
            flags = Pack(view, head, plane, firstToken, new RowRuns(rows[..(packed * rowBytes)], rowBytes), from);
        else
        {
            for (int done = 0; done < packed;)
            {
                int step = Math.Min(packed - done, KvSegment.GranuleTokens);
                Span<byte> stored = converted[..(step * view.Geometry.RowBytes)];
                ElementConversion.Convert(rows.Slice(done * rowBytes, step * rowBytes), from, stored, form.ElementType);
                SegmentRows.Scatter(view, head, plane, firstToken + done, step, stored);
                done += step;
            }
        }

        if (packed < source.Rows)
        {
            int within = (firstToken + packed) % view.Group.TileTokens;
            ElementConversion.Convert(rows[(packed * rowBytes)..], from, view.Tail(head, plane)[(within * dim * sizeof(ushort))..], ElementType.BFloat16);
        }

        ScratchBuffers.Return(rented);
        return flags;
    }

    // The packing kernels read formats of two bytes and wider; every 8-bit float is an fp32 number.
    private static PackFlags StoreWidened(in KvLayerView view, int head, KvPlane plane, int firstToken, RowRuns source, ElementType from)
    {
        byte[] rented = ScratchBuffers.Rent(source.LengthBytes * (sizeof(float) + 1));
        Span<byte> rows = rented.AsSpan(0, source.LengthBytes), wide = rented.AsSpan(source.LengthBytes, source.LengthBytes * sizeof(float));
        source.CopyTo(rows);
        ElementConversion.Convert(rows, from, wide, ElementType.Float32);
        PackFlags flags = Store(view, head, plane, firstToken, new RowRuns(wide, source.RowBytes * sizeof(float)), ElementType.Float32);
        ScratchBuffers.Return(rented);
        return flags;
    }

    /// <summary>Reads tokens of any form as plain rows: packed ones from the blocks, the last ones from the tail.</summary>
    /// <param name="view">The layer of the sequence.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="firstToken">First token.</param>
    /// <param name="destination">Receives as many rows as it has.</param>
    /// <param name="to">Their type: BF16, FP16 or FP32.</param>
    public static void Unpack(in KvLayerView view, int head, KvPlane plane, int firstToken, RowRuns destination, ElementType to)
    {
        BlockGeometry geometry = view.Geometry;
        StorageForm form = view.Group.Form(plane);
        int rowBytes = geometry.RowBytes;
        byte[] rented = ScratchBuffers.Rent(KvSegment.GranuleTokens * Math.Max(rowBytes, geometry.HeadDim * sizeof(ushort)));
        var cursor = new RowCursor(destination);
        for (int token = firstToken, end = firstToken + destination.Rows; token < end;)
        {
            (int block, int within) = Math.DivRem(token, geometry.BlockTokens);
            if (token >= view.PackedTokens)
            {
                Convert(view.Row(head, plane, token), ElementType.BFloat16, ref cursor, 1, to);
                token++;
                continue;
            }

            int step = Math.Min(Math.Min(end, view.PackedTokens) - token, geometry.BlockTokens - within);
            // Whole tiles, so that a tile's scales are read once; the first may be entered in its middle.
            step = Math.Min(step, view.Group.TileTokens - within % view.Group.TileTokens);
            ReadOnlySpan<byte> rows;
            if (geometry.TokensAreContiguous(plane)) rows = view.Plane(block, plane).Slice(geometry.Plane(plane).RowOffset(head, within), step * rowBytes);
            else
            {
                SegmentRows.Gather(view, head, plane, token, step, rented.AsSpan(0, step * rowBytes));
                rows = rented.AsSpan(0, step * rowBytes);
            }

            if (form.IsScaled)
                PackedRows.Unpack(form, rows, ScalesAt(view, form, block, head, plane, within), view.StaticScale(head, plane), step, geometry.HeadDim, ref cursor, to);
            else
                Convert(rows, form.ElementType, ref cursor, step, to);
            token += step;
        }

        ScratchBuffers.Return(rented);
    }

    /// <summary>The stored scales of a head from the one of token <paramref name="within"/> of a block on; a tile's for channel scales.</summary>
    internal static Span<byte> ScalesAt(scoped in KvLayerView view, scoped in StorageForm form, int block, int head, KvPlane plane, int within) => form.HasStoredScales
        ? view.Scales(block, head, plane)[form.ScaleBytes(form.ScaleKind == ScaleKind.PerChannelTile ? within / form.TileTokens * form.TileTokens : within, view.Group.HeadDim)..]
        : default;

    private static void Convert(ReadOnlySpan<byte> rows, ElementType from, ref RowCursor destination, int tokens, ElementType to)
    {
        int rowBytes = rows.Length / tokens;
        for (int done = 0; done < tokens;)
        {
            Span<byte> piece = destination.Next(tokens - done, out int count, out int stride);
            if (count == 0) throw new ArgumentException($"The destination has room for {done} of {tokens} rows.", nameof(destination));
            for (int row = 0; row < count; row++)
                ElementConversion.Convert(rows.Slice((done + row) * rowBytes, rowBytes), from, piece.Slice(row * stride, destination.RowBytes), to);
            done += count;
        }
    }
}
