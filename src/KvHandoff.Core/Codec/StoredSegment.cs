using System.Buffers.Binary;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>
/// A segment in an 8-bit form with scales, as it travels: <c>[packed][dim]</c> codes, their scales, then the rows of the last
/// <c>tokens - packed</c> tokens in BF16. Packed are the whole tiles; forms with a static scale pack every token and carry that one
/// scale. A sender whose blocks have the form copies them, one whose blocks are wider packs on the way.
/// </summary>
public static partial class StoredSegment
{
    /// <summary>Tokens of a granule that are packed.</summary>
    public static int PackedTokens(in StorageForm form, int tokens) => form.HasStoredScales ? tokens / form.TileTokens * form.TileTokens : tokens;

    /// <summary>Bytes of a segment of <paramref name="tokens"/> tokens (1 to 64).</summary>
    public static int EncodedBytes(in StorageForm form, int tokens, int headDim)
    {
        int packed = PackedTokens(form, tokens);
        return packed * headDim + (packed == 0 ? 0 : form.ScaleBytes(packed, headDim)) + (tokens - packed) * headDim * sizeof(ushort);
    }

    /// <summary>Most bytes of a segment of any form: a scale of four bytes for every code.</summary>
    public static int MaxEncodedBytes(int tokens, int headDim) => tokens * headDim * 5;

    /// <summary>Writes one segment.</summary>
    /// <param name="view">The layer, up to the last token that is handed over.</param>
    /// <param name="head">Kv head.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="granule">Granule.</param>
    /// <param name="wire">The form on the wire: that of the blocks, or any with scales where the blocks hold plain rows.</param>
    /// <param name="encoded">At least <see cref="EncodedBytes"/> bytes.</param>
    /// <param name="flags">What was met besides finite numbers.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(in KvLayerView view, int head, KvPlane plane, int granule, in StorageForm wire, Span<byte> encoded, out CodecFlags flags)
    {
        int dim = view.Group.HeadDim, first = granule * KvSegment.GranuleTokens, tokens = KvSegment.TokensIn(granule, view.Tokens);
        int packed = PackedTokens(wire, tokens), bytes = EncodedBytes(wire, tokens, dim);
        CodecArguments.CheckRoom(encoded.Length, bytes);
        Span<byte> codes = encoded[..(packed * dim)], scales = encoded[codes.Length..][..(packed == 0 ? 0 : wire.ScaleBytes(packed, dim))];
        Span<byte> tail = encoded[(codes.Length + scales.Length)..bytes];
        StorageForm stored = view.Group.Form(plane);
        flags = CodecFlags.None;
        if (stored == wire)
        {
            if (packed > 0)
            {
                SegmentRows.Gather(view, head, plane, first, packed, codes);
                CopyScales(view, head, plane, first, packed, stored, scales);
            }

            if (!tail.IsEmpty) view.Tail(head, plane)[..tail.Length].CopyTo(tail);
            return bytes;
        }

        flags = Pack(view, head, plane, first, packed, wire, codes, scales);
        if (!tail.IsEmpty) StoredRows.Unpack(view, head, plane, first + packed, new RowRuns(tail, dim * sizeof(ushort)), ElementType.BFloat16);
        return bytes;
    }

    private static CodecFlags Pack(in KvLayerView view, int head, KvPlane plane, int first, int packed, in StorageForm wire, Span<byte> codes, Span<byte> scales)
    {
        if (packed == 0) return CodecFlags.None;
        LayerGroup group = view.Group;
        PackFlags met;
        if (!group.Form(plane).IsScaled && group.ElementType.SizeBytes() > 1 && view.Geometry.RowsAreContiguous(plane))
        {
            Span<RowRun> runs = stackalloc RowRun[SegmentRows.MaxRuns];
            var source = new RowCursor(new RowRuns(SegmentRows.Runs(view, head, plane, first, packed, runs), group.RowBytes));
            met = PackedRows.Pack(wire, ref source, group.ElementType, packed, group.HeadDim, 1f, codes, scales);
        }
        else
        {
            int rowBytes = group.HeadDim * sizeof(float);
            byte[] scratch = ScratchBuffers.Rent(packed * rowBytes);
            var rows = new RowRuns(scratch.AsSpan(0, packed * rowBytes), rowBytes);
            StoredRows.Unpack(view, head, plane, first, rows, ElementType.Float32);
            var source = new RowCursor(rows);
            met = PackedRows.Pack(wire, ref source, ElementType.Float32, packed, group.HeadDim, 1f, codes, scales);
            ScratchBuffers.Return(scratch);
        }

        return CodecFlagsOf(met);
    }

    internal static CodecFlags CodecFlagsOf(PackFlags met) =>
        ((met & PackFlags.HadNaN) != 0 ? CodecFlags.HadNaN : CodecFlags.None)
        | ((met & PackFlags.HadInfinity) != 0 ? CodecFlags.HadInfinity : CodecFlags.None);

    private static void CopyScales(in KvLayerView view, int head, KvPlane plane, int first, int packed, in StorageForm form, Span<byte> scales)
    {
        if (!form.IsScaled) return;
        if (!form.HasStoredScales)
        {
            float scale = view.StaticScale(head, plane);
            if (form.ScaleType == ScaleType.Float32) BinaryPrimitives.WriteSingleLittleEndian(scales, scale);
            else BinaryPrimitives.WriteUInt16LittleEndian(scales, ((BFloat16)scale).Bits);
            return;
        }

        for (int token = first, end = first + packed; token < end;)
        {
            (int block, int within) = Math.DivRem(token, view.Geometry.BlockTokens);
            int step = Math.Min(end - token, view.Geometry.BlockTokens - within), length = form.ScaleBytes(step, view.Group.HeadDim);
            StoredRows.ScalesAt(view, form, block, head, plane, within)[..length].CopyTo(scales);
            scales = scales[length..];
            token += step;
        }
    }
}
