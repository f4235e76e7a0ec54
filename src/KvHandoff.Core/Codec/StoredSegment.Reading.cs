using System.Buffers.Binary;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

public static partial class StoredSegment
{
    /// <summary>
    /// Places one segment that a peer sent into blocks of any form. Codes that the blocks take as they are, are copied, a tile's
    /// scales repeated where tiles are smaller; everything else is unpacked to fp32 and stored anew.
    /// </summary>
    /// <param name="encoded">What came; its length is not trusted.</param>
    /// <param name="wire">The form it has.</param>
    /// <param name="view">The layer of the receiving sequence, up to the last token of the handoff.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="granule">Granule.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    public static bool TryRead(ReadOnlySpan<byte> encoded, in StorageForm wire, in KvLayerView view, int head, KvPlane plane, int granule, out string? error)
    {
        int dim = view.Group.HeadDim, first = granule * KvSegment.GranuleTokens, tokens = KvSegment.TokensIn(granule, view.Tokens);
        int packed = PackedTokens(wire, tokens), bytes = EncodedBytes(wire, tokens, dim);
        error = encoded.Length == bytes ? null : $"A segment of {tokens} x {dim} stored as {wire} has {encoded.Length} bytes; expected {bytes}.";
        if (error is not null) return false;
        ReadOnlySpan<byte> codes = encoded[..(packed * dim)], scales = encoded[codes.Length..][..(packed == 0 ? 0 : wire.ScaleBytes(packed, dim))];
        ReadOnlySpan<byte> tail = encoded[(codes.Length + scales.Length)..];
        error = ScaleCheck.Reason(wire, scales);
        if (error is not null) return false;

        int kept = TakesAsTheyAre(wire, view, head, plane, scales) ? Math.Min(packed, Math.Max(0, view.PackedTokens - first)) : 0;
        if (kept > 0)
        {
            SegmentRows.Scatter(view, head, plane, first, kept, codes[..(kept * dim)]);
            PlaceScales(view, head, plane, first, kept, wire, scales);
        }

        if (kept == tokens) return true;
        if (kept == packed && view.TailTokens == tokens - packed && view.Group.HasTail)
        {
            tail.CopyTo(view.Tail(head, plane));
            return true;
        }

        StoreAnew(codes, scales, tail, wire, view, head, plane, first, tokens, kept);
        return true;
    }

    private static bool TakesAsTheyAre(in StorageForm wire, in KvLayerView view, int head, KvPlane plane, ReadOnlySpan<byte> scales)
    {
        StorageForm stored = view.Group.Form(plane);
        if (stored.ElementType != wire.ElementType || stored.ScaleKind != wire.ScaleKind || stored.ScaleType != wire.ScaleType) return false;
        if (stored.ScaleKind == ScaleKind.PerChannelTile) return stored.TileTokens <= wire.TileTokens;
        if (stored.HasStoredScales || !stored.IsScaled) return true;
        float scale = wire.ScaleType == ScaleType.Float32
            ? BinaryPrimitives.ReadSingleLittleEndian(scales)
            : (float)BFloat16.FromBits(BinaryPrimitives.ReadUInt16LittleEndian(scales));
        return scale == view.StaticScale(head, plane);
    }

    private static void PlaceScales(in KvLayerView view, int head, KvPlane plane, int first, int tokens, in StorageForm wire, ReadOnlySpan<byte> scales)
    {
        StorageForm stored = view.Group.Form(plane);
        int dim = view.Group.HeadDim;
        if (!stored.HasStoredScales) return;
        int unit = stored.ScaleKind == ScaleKind.PerChannelTile ? stored.TileTokens : 1, unitBytes = stored.ScaleBytes(unit, dim);
        for (int done = 0; done < tokens; done += unit)
        {
            (int block, int within) = Math.DivRem(first + done, view.Geometry.BlockTokens);
            int source = wire.ScaleKind == ScaleKind.PerChannelTile ? done / wire.TileTokens : done;
            scales.Slice(source * unitBytes, unitBytes).CopyTo(StoredRows.ScalesAt(view, stored, block, head, plane, within));
        }
    }

    private static void StoreAnew(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> tail, in StorageForm wire,
        in KvLayerView view, int head, KvPlane plane, int first, int tokens, int kept)
    {
        int dim = view.Group.HeadDim, packed = codes.Length / dim, rowBytes = dim * sizeof(float);
        byte[] scratch = ScratchBuffers.Rent(tokens * rowBytes);
        Span<byte> rows = scratch.AsSpan(0, tokens * rowBytes);
        if (packed > 0)
        {
            float scale = wire.IsScaled && !wire.HasStoredScales ? ReadStatic(wire, scales) : 1f;
            var cursor = new RowCursor(new RowRuns(rows[..(packed * rowBytes)], rowBytes));
            PackedRows.Unpack(wire, codes, scales, scale, packed, dim, ref cursor, ElementType.Float32);
        }

        if (!tail.IsEmpty) ElementConversion.Convert(tail, ElementType.BFloat16, rows[(packed * rowBytes)..], ElementType.Float32);
        StoredRows.Store(view, head, plane, first + kept, new RowRuns(rows[(kept * rowBytes)..], rowBytes), ElementType.Float32);
        ScratchBuffers.Return(scratch);
    }

    private static float ReadStatic(in StorageForm wire, ReadOnlySpan<byte> scales) => wire.ScaleType == ScaleType.Float32
        ? BinaryPrimitives.ReadSingleLittleEndian(scales)
        : (float)BFloat16.FromBits(BinaryPrimitives.ReadUInt16LittleEndian(scales));
}
