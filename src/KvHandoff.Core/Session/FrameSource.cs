using System.Diagnostics;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Builds and sends the frames of one data connection: straight out of the blocks where rows lie in runs, through a staging buffer
/// otherwise. Used by one thread; allocates per handoff, never per frame.
/// </summary>
internal sealed class FrameSource(IConnection connection, ulong epoch) : IDisposable
{
    private SegmentEntry[] _entries = [];
    private IoRange[] _ranges = [];
    private NativeSlab? _head, _staging;
    private readonly EncoderHistory _history = new();
    private readonly CodecChoice _choice = new();
    private uint _sequence;

    /// <summary>Sends one granule of one layer. A result that is not Ok ends the connection.</summary>
    internal TransportResult Send(OutgoingHandoff handoff, int layer, int granule)
    {
        HandoffShape shape = handoff.Shape;
        int g = shape.Layout.GroupOf(layer);
        LayerGroup group = shape.Layout.Groups[g];
        int segments = group.KvHeads * group.Planes;
        Prepare(shape);
        long started = PhaseClock.Now, rawBytes = (long)segments * shape.TokensIn(granule) * group.RowBytes;
        IKvCodec codec = _choice.Next(shape.Codecs, rawBytes);
        var rows = new GranuleRows(handoff.Sequence, layer, granule, shape.TotalTokens);
        bool direct = shape.IsDirect(g, codec);
        var flags = CodecFlags.None;
        long copied = 0;
        long payloadBytes = direct ? ChecksumInPlace(handoff, rows, group) : EncodeStaged(handoff, shape.Groups[g], codec, layer, granule, out flags, out copied);

        Span<SegmentEntry> entries = _entries.AsSpan(0, segments);
        int tableBytes = segments * SegmentEntry.Bytes;
        Span<byte> head = _head!.Span(0, FrameHeader.Bytes + tableBytes);
        uint tableCrc = SegmentTable.Write(entries, head[FrameHeader.Bytes..]);
        var header = new FrameHeader
        {
            HandoffId = handoff.Id,
            Epoch = epoch,
            LeaseId = handoff.LeaseId,
            SlotGeneration = handoff.SlotGenerations[g][granule],
            Layer = layer,
            Granule = granule,
            FirstHead = 0,
            HeadCount = group.KvHeads,
            Planes = group.Planes,
            HeadDim = group.HeadDim,
            Tokens = shape.TokensIn(granule),
            ElementType = SegmentCoder.FrameElementType(shape.Groups[g], codec),
            Codec = SegmentCoder.FrameCodec(shape.Groups[g], codec),
            Flags = flags,
            Sequence = _sequence++,
            PayloadBytes = (int)payloadBytes,
            TableCrc = tableCrc,
        };
        header.Write(head);

        _ranges[0] = new IoRange(_head.Address, head.Length);
        int count = 1;
        if (direct) count += rows.Ranges(_ranges.AsSpan(1));
        else _ranges[count++] = new IoRange(_staging!.Address, (nint)payloadBytes);
        TransportResult sent = connection.SendVectors(_ranges.AsSpan(0, count));
        if (!sent.IsOk) return sent;
        _choice.Report(codec, rawBytes, payloadBytes, Stopwatch.GetElapsedTime(started).TotalSeconds);
        handoff.FrameSent(head.Length + payloadBytes, copied, HandoffShape.DigestOf(layer, granule, tableCrc));
        return sent;
    }

    public void Dispose()
    {
        _head?.Dispose();
        _staging?.Dispose();
    }

    private long ChecksumInPlace(OutgoingHandoff handoff, in GranuleRows rows, LayerGroup group)
    {
        long at = PhaseClock.Now, payload = 0;
        for (int s = 0; s < group.KvHeads * group.Planes; s++)
        {
            uint crc = rows.Checksum(s / group.Planes, (KvPlane)(s % group.Planes), out int bytes);
            _entries[s] = new SegmentEntry(crc, (uint)bytes);
            payload += bytes;
        }

        handoff.Clock.Add(HandoffPhase.Encode, at);
        return payload;
    }

    private long EncodeStaged(OutgoingHandoff handoff, GroupTransfer transfer, IKvCodec codec, int layer, int granule, out CodecFlags flags, out long copied)
    {
        long at = PhaseClock.Now;
        KvLayerView view = handoff.Sequence.View(layer, handoff.TotalTokens);
        LayerGroup group = transfer.Source;
        int offset = 0, historyBytes = SegmentCoder.HistoryBytes(transfer, codec), tokens = handoff.Shape.TokensIn(granule);
        flags = CodecFlags.None;
        for (int s = 0; s < group.KvHeads * group.Planes; s++)
        {
            int head = s / group.Planes;
            var plane = (KvPlane)(s % group.Planes);
            Span<byte> encoded = _staging!.Span(offset, SegmentCoder.MaxEncodedBytes(transfer, codec, plane, tokens));
            EncodedSegment segment = SegmentCoder.Encode(transfer, codec, view, head, plane, granule, _history.Of(handoff, layer, s)[..historyBytes], encoded);
            flags |= segment.Flags;
            _entries[s] = new SegmentEntry(segment.Crc32C, (uint)segment.Bytes);
            offset += segment.Bytes;
        }

        copied = offset;
        handoff.Clock.Add(HandoffPhase.Encode, at);
        return offset;
    }

    private void Prepare(HandoffShape shape)
    {
        if (_entries.Length < shape.MaxSegments)
        {
            _entries = new SegmentEntry[shape.MaxSegments];
            _head?.Dispose();
            _head = NativeSlab.Allocate(FrameHeader.Bytes + (long)shape.MaxSegments * SegmentEntry.Bytes);
        }

        if (_ranges.Length < shape.MaxRanges + 2) _ranges = GC.AllocateUninitializedArray<IoRange>(shape.MaxRanges + 2, pinned: true);
        _history.Prepare(shape);
        if (!shape.NeedsStaging) return;
        if (_staging is null || _staging.LengthBytes < shape.MaxPayloadBytes)
        {
            _staging?.Dispose();
            _staging = NativeSlab.Allocate(shape.MaxPayloadBytes);
        }
    }
}
