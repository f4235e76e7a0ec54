using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>What encoding a segment gave.</summary>
/// <param name="Bytes">Bytes of the encoded segment.</param>
/// <param name="Crc32C">Their CRC-32C.</param>
/// <param name="Flags">What was met besides finite numbers.</param>
public readonly record struct EncodedSegment(int Bytes, uint Crc32C, CodecFlags Flags);

/// <summary>
/// The pass over a segment that a handoff makes: rows are found by the block table, put in token order, converted and checksummed on
/// their way to the wire, and the inverse. A segment is at most a few hundred kilobytes, so what one step writes the next finds in the
/// nearest cache: the source is read from memory once and the destination written once.
/// </summary>
/// <remarks>
/// Driven by a <see cref="GroupTransfer"/>, which is computed once per pair of layouts. Thread-safe; allocates nothing once the thread's
/// scratch buffers have grown.
/// </remarks>
public static class SegmentCoder
{
    /// <summary>Whether segments travel in the 8-bit form that one of the sides stores; other codecs than raw start from plain rows.</summary>
    public static bool TravelsStored(GroupTransfer transfer, IKvCodec codec) => codec.IsIdentity && transfer.WireIsScaled;

    /// <summary>The codec number that frames carry.</summary>
    public static CodecId FrameCodec(GroupTransfer transfer, IKvCodec codec) => TravelsStored(transfer, codec) ? CodecId.Stored : codec.Id;

    /// <summary>The element type that frames carry: of the rows before the codec, or of the stored codes.</summary>
    public static ElementType FrameElementType(GroupTransfer transfer, IKvCodec codec) =>
        TravelsStored(transfer, codec) ? transfer.KeyWire.ElementType : transfer.Source.ElementType;

    /// <summary>Most bytes of an encoded segment; exactly its bytes when the codec is raw.</summary>
    public static int MaxEncodedBytes(GroupTransfer transfer, IKvCodec codec, KvPlane plane, int tokens) => TravelsStored(transfer, codec)
        ? StoredSegment.EncodedBytes(transfer.Wire(plane), tokens, transfer.Source.HeadDim)
        : codec.MaxEncodedBytes(Shape(transfer, plane, tokens));

    /// <summary>Bytes of history that the codec keeps per (layer, head, plane).</summary>
    public static int HistoryBytes(GroupTransfer transfer, IKvCodec codec) =>
        TravelsStored(transfer, codec) ? 0 : codec.HistoryBytes(Shape(transfer, KvPlane.Key, KvSegment.GranuleTokens));

    /// <summary>Why rows of the sender cannot be encoded so, or null.</summary>
    public static string? Refusal(GroupTransfer transfer, IKvCodec codec)
    {
        if (TravelsStored(transfer, codec)) return null;
        if (transfer.Source.Form(KvPlane.Key).IsScaled)
            return $"Codec {codec.Name} takes plain rows; the sender stores {transfer.Source.Form(KvPlane.Key)}: use raw.";
        return codec.Supports(transfer.Source.ElementType) ? null : $"Codec {codec.Name} does not take elements of type {transfer.Source.ElementType}.";
    }

    /// <summary>Encodes the rows of one head of one granule.</summary>
    /// <param name="transfer">How the group travels.</param>
    /// <param name="codec">Raw, or a codec of plain rows.</param>
    /// <param name="source">The sender's layer, up to the last token that is handed over.</param>
    /// <param name="head">Kv head of the sender.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="granule">Granule.</param>
    /// <param name="history">Empty, or <see cref="HistoryBytes"/> bytes of this layer, head and plane.</param>
    /// <param name="encoded">At least <see cref="MaxEncodedBytes"/> bytes.</param>
    /// <exception cref="ArgumentException">The codec does not take the rows, or a span is too short.</exception>
    public static EncodedSegment Encode(GroupTransfer transfer, IKvCodec codec, in KvLayerView source, int head, KvPlane plane, int granule, Span<byte> history, Span<byte> encoded)
    {
        int tokens = KvSegment.TokensIn(granule, source.Tokens), first = granule * KvSegment.GranuleTokens, bytes;
        CodecFlags flags;
        if (TravelsStored(transfer, codec))
        {
            bytes = StoredSegment.Write(source, head, plane, granule, transfer.Wire(plane), encoded, out flags);
            return new EncodedSegment(bytes, Numerics.Crc32C.Compute(encoded[..bytes]), flags);
        }

        SegmentShape shape = Shape(transfer, plane, tokens);
        if (source.Geometry.RowsAreContiguous(plane))
        {
            Span<RowRun> runs = stackalloc RowRun[SegmentRows.MaxRuns];
            bytes = codec.Encode(shape, new RowRuns(SegmentRows.Runs(source, head, plane, first, tokens, runs), shape.RowBytes), history, encoded, out flags);
        }
        else if (codec.IsIdentity)
        {
            SegmentRows.Gather(source, head, plane, first, tokens, encoded);
            (bytes, flags) = (shape.RowsBytes, CodecFlags.None);
        }
        else
        {
            byte[] gathered = ScratchBuffers.Rent(shape.RowsBytes);
            Span<byte> rows = gathered.AsSpan(0, shape.RowsBytes);
            SegmentRows.Gather(source, head, plane, first, tokens, rows);
            bytes = codec.Encode(shape, new RowRuns(rows, shape.RowBytes), history, encoded, out flags);
            ScratchBuffers.Return(gathered);
        }

        return new EncodedSegment(bytes, Numerics.Crc32C.Compute(encoded[..bytes]), flags);
    }

    /// <summary>Decodes a segment, whose checksum has been verified, into the blocks of the receiver.</summary>
    /// <param name="transfer">How the group travels.</param>
    /// <param name="codec">What it was encoded with.</param>
    /// <param name="encoded">What came; its length is not trusted.</param>
    /// <param name="target">The receiver's layer, up to the last token of the handoff.</param>
    /// <param name="head">Kv head of the receiver.</param>
    /// <param name="plane">K or V.</param>
    /// <param name="granule">Granule.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    public static bool TryDecode(GroupTransfer transfer, IKvCodec codec, ReadOnlySpan<byte> encoded, in KvLayerView target, int head, KvPlane plane, int granule, out string? error)
    {
        if (TravelsStored(transfer, codec)) return StoredSegment.TryRead(encoded, transfer.Wire(plane), target, head, plane, granule, out error);
        int tokens = KvSegment.TokensIn(granule, target.Tokens), first = granule * KvSegment.GranuleTokens;
        SegmentShape shape = Shape(transfer, plane, tokens);
        bool takesRows = target.Group.Form(plane) == transfer.Source.Form(plane) || (!target.Group.Form(plane).IsScaled && target.Group.ElementType == transfer.Source.ElementType);
        if (takesRows && target.Geometry.RowsAreContiguous(plane))
        {
            Span<RowRun> runs = stackalloc RowRun[SegmentRows.MaxRuns];
            return codec.TryDecode(shape, encoded, new RowRuns(SegmentRows.Runs(target, head, plane, first, tokens, runs), shape.RowBytes), out error);
        }

        byte[] scratch = ScratchBuffers.Rent(shape.RowsBytes);
        var rows = new RowRuns(scratch.AsSpan(0, shape.RowsBytes), shape.RowBytes);
        bool good = codec.TryDecode(shape, encoded, rows, out error);
        if (good && takesRows) SegmentRows.Scatter(target, head, plane, first, tokens, scratch.AsSpan(0, shape.RowsBytes));
        else if (good) StoredRows.Store(target, head, plane, first, rows, transfer.Source.ElementType);
        ScratchBuffers.Return(scratch);
        return good;
    }

    private static SegmentShape Shape(GroupTransfer transfer, KvPlane plane, int tokens) => new(tokens, transfer.Source.HeadDim, transfer.Source.ElementType, plane);
}
