using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
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
    private byte[] _rows = [];
    private NativeSlab? _head, _staging;
    private uint _sequence;

    /// <summary>Sends one granule of one layer. A result that is not Ok ends the connection.</summary>
    internal TransportResult Send(OutgoingHandoff handoff, int layer, int granule)
    {
        HandoffShape shape = handoff.Shape;
        LayerGroup group = shape.Layout.Group(layer);
        int segments = group.KvHeads * group.Planes;
        Prepare(shape);
        var rows = new GranuleRows(handoff.Sequence, layer, granule, shape.TotalTokens);
        bool direct = shape.IsDirect(group);
        var flags = CodecFlags.None;
        long copied = 0;
        long payloadBytes = direct ? ChecksumInPlace(handoff, rows, group, granule) : EncodeStaged(handoff, rows, group, layer, granule, out flags, out copied);

        Span<SegmentEntry> entries = _entries.AsSpan(0, segments);
        int tableBytes = segments * SegmentEntry.Bytes;
        Span<byte> head = _head!.Span(0, FrameHeader.Bytes + tableBytes);
        uint tableCrc = SegmentTable.Write(entries, head[FrameHeader.Bytes..]);
        int g = shape.Layout.GroupOf(layer);
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
            ElementType = group.ElementType,
            Codec = shape.Codec.Id,
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
        if (sent.IsOk) handoff.FrameSent(head.Length + payloadBytes, copied, HandoffShape.DigestOf(layer, granule, tableCrc));
        return sent;
    }

    public void Dispose()
    {
        _head?.Dispose();
        _staging?.Dispose();
    }

    private long ChecksumInPlace(OutgoingHandoff handoff, in GranuleRows rows, LayerGroup group, int granule)
    {
        long at = PhaseClock.Now;
        uint bytes = (uint)handoff.Shape.Segment(group, granule).RowsBytes;
        int segments = group.KvHeads * group.Planes;
        for (int s = 0; s < segments; s++) _entries[s] = new SegmentEntry(rows.Checksum(s / group.Planes, (KvPlane)(s % group.Planes)), bytes);
        handoff.Clock.Add(HandoffPhase.Encode, at);
        return (long)bytes * segments;
    }

    private long EncodeStaged(OutgoingHandoff handoff, in GranuleRows where, LayerGroup group, int layer, int granule, out CodecFlags flags, out long copied)
    {
        HandoffShape shape = handoff.Shape;
        SegmentShape segment = shape.Segment(group, granule);
        KvLayerView view = handoff.Sequence.View(layer, shape.TotalTokens);
        int most = shape.Codec.MaxEncodedBytes(segment), offset = 0;
        flags = CodecFlags.None;
        copied = 0;
        for (int s = 0; s < group.KvHeads * group.Planes; s++)
        {
            long at = PhaseClock.Now;
            int head = s / group.Planes;
            var plane = (KvPlane)(s % group.Planes);
            if (!where.TryContiguous(head, plane, out Span<byte> rows))
            {
                rows = _rows.AsSpan(0, segment.RowsBytes);
                SegmentRows.Gather(view, head, plane, granule, segment.Tokens, rows);
                copied += rows.Length;
                at = handoff.Clock.Add(HandoffPhase.Gather, at);
            }

            Span<byte> encoded = _staging!.Span(offset, most);
            int bytes = shape.Codec.Encode(segment, rows, encoded, out CodecFlags found);
            flags |= found;
            _entries[s] = new SegmentEntry(Crc32C.Compute(encoded[..bytes]), (uint)bytes);
            offset += bytes;
            copied += bytes;
            handoff.Clock.Add(HandoffPhase.Encode, at);
        }

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
        if (!shape.NeedsStaging) return;
        if (_rows.Length < shape.MaxSegmentRowsBytes) _rows = new byte[shape.MaxSegmentRowsBytes];
        if (_staging is null || _staging.LengthBytes < shape.MaxPayloadBytes)
        {
            _staging?.Dispose();
            _staging = NativeSlab.Allocate(shape.MaxPayloadBytes);
        }
    }
}
