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

    /// <summary>Sends one granule of one layer of a piece. A result that is not Ok ends the connection.</summary>
    internal TransportResult Send(OutgoingHandoff handoff, HandoffPiece piece, int frame)
    {
        HandoffShape shape = handoff.Shape;
        (int layer, int granule) = piece.Locate(frame);
        int g = piece.Transfer, planes = shape.Groups[g].Source.Planes;
        LayerGroup group = shape.Groups[g].Source;
        int segments = piece.Heads.Count * planes;
        Prepare(shape);
        if (handoff.Window is not null) return SendPlaced(handoff, piece, frame, layer, granule);
        long started = PhaseClock.Now, rawBytes = (long)segments * shape.TokensIn(granule) * group.RowBytes;
        IKvCodec codec = _choice.Next(shape.Codecs, rawBytes);
        var heads = new IndexRange(shape.OwnHead(g, piece.Heads.Start), piece.Heads.Count);
        var rows = new GranuleRows(handoff.Sequence, shape.OwnLayer(layer), shape.OwnGranule(granule), shape.OwnTokens, heads);
        bool direct = shape.IsDirect(g, codec);
        var flags = CodecFlags.None;
        long copied = 0;
        long payloadBytes = direct ? ChecksumInPlace(handoff, rows, heads, planes) : EncodeStaged(handoff, shape.Groups[g], codec, layer, granule, heads, out flags, out copied);

        FrameHeader header = Head(handoff, piece, layer, granule, shape.Groups[g], codec, flags, payloadBytes, placed: false);
        _ranges[0] = new IoRange(_head!.Address, HeadBytes(segments));
        int count = 1;
        if (direct) count += rows.Ranges(_ranges.AsSpan(1));
        else _ranges[count++] = new IoRange(_staging!.Address, (nint)payloadBytes);
        TransportResult sent = connection.SendVectors(_ranges.AsSpan(0, count));
        if (!sent.IsOk) return sent;
        _choice.Report(codec, rawBytes, payloadBytes, Stopwatch.GetElapsedTime(started).TotalSeconds);
        handoff.FrameSent(frame, HeadBytes(segments) + payloadBytes, copied, HandoffShape.DigestOf(header, _entries.AsSpan(0, segments)));
        return sent;
    }

    /// <summary>Writes the rows into the receiver's blocks and sends the header and the checksums of what lies there.</summary>
    private TransportResult SendPlaced(OutgoingHandoff handoff, HandoffPiece piece, int frame, int layer, int granule)
    {
        HandoffShape shape = handoff.Shape;
        int g = piece.Transfer, planes = shape.Groups[g].Source.Planes, segments = piece.Heads.Count * planes;
        long at = PhaseClock.Now, payloadBytes = 0;
        KvSequence window = handoff.Window!;
        KvLayerView target = window.View(layer, shape.TotalTokens);
        bool alike = shape.LiesAlike(g);
        for (int s = 0; s < segments; s++)
        {
            int head = s / planes;
            var plane = (KvPlane)(s % planes);
            if (!handoff.IsInPlace)
            {
                KvLayerView source = handoff.Sequence.View(layer, shape.TotalTokens);
                if (alike) PlacedFrames.Copy(source, target, head, plane, granule);
                else if (PlacedFrames.Place(shape.Groups[g], source, target, head, plane, granule) is { } error) return new TransportResult(TransportStatus.Failed, error);
            }

            uint crc = shape.Placed!.Checksum(g, target, head, plane, granule, out int bytes);
            _entries[s] = new SegmentEntry(crc, (uint)bytes);
            payloadBytes += bytes;
        }

        handoff.Clock.Add(HandoffPhase.Place, at);
        FrameHeader header = Head(handoff, piece, layer, granule, shape.Placed!.Stored(g), KvCodecs.Raw, CodecFlags.None, payloadBytes, placed: true);
        _ranges[0] = new IoRange(_head!.Address, HeadBytes(segments));
        TransportResult sent = connection.SendVectors(_ranges.AsSpan(0, 1));
        if (sent.IsOk) handoff.FrameSent(frame, HeadBytes(segments), handoff.IsInPlace ? 0 : payloadBytes, HandoffShape.DigestOf(header, _entries.AsSpan(0, segments)));
        return sent;
    }

    private static int HeadBytes(int segments) => FrameHeader.Bytes + segments * SegmentEntry.Bytes;

    private FrameHeader Head(OutgoingHandoff handoff, HandoffPiece piece, int layer, int granule, GroupTransfer transfer, IKvCodec codec, CodecFlags flags, long payloadBytes, bool placed)
    {
        int segments = piece.Heads.Count * transfer.Source.Planes;
        Span<byte> head = _head!.Span(0, HeadBytes(segments));
        var header = new FrameHeader
        {
            HandoffId = handoff.Id,
            Epoch = epoch,
            LeaseId = handoff.LeaseId,
            SlotGeneration = handoff.SlotGenerations[piece.Transfer][granule - handoff.Shape.GranulesOf(piece.Transfer).First],
            Layer = layer,
            Granule = granule,
            FirstHead = piece.Heads.Start,
            HeadCount = piece.Heads.Count,
            Planes = transfer.Source.Planes,
            HeadDim = transfer.Source.HeadDim,
            Tokens = handoff.Shape.TokensIn(granule),
            ElementType = SegmentCoder.FrameElementType(transfer, codec),
            Codec = SegmentCoder.FrameCodec(transfer, codec),
            Flags = flags,
            IsPlaced = placed,
            Sequence = _sequence++,
            PayloadBytes = (int)payloadBytes,
            TableCrc = SegmentTable.Write(_entries.AsSpan(0, segments), head[FrameHeader.Bytes..]),
        };
        header.Write(head);
        return header;
    }

    public void Dispose()
    {
        _head?.Dispose();
        _staging?.Dispose();
    }

    private long ChecksumInPlace(OutgoingHandoff handoff, in GranuleRows rows, IndexRange heads, int planes)
    {
        long at = PhaseClock.Now, payload = 0;
        for (int s = 0; s < heads.Count * planes; s++)
        {
            uint crc = rows.Checksum(heads.Start + s / planes, (KvPlane)(s % planes), out int bytes);
            _entries[s] = new SegmentEntry(crc, (uint)bytes);
            payload += bytes;
        }

        handoff.Clock.Add(HandoffPhase.Encode, at);
        return payload;
    }

    private long EncodeStaged(OutgoingHandoff handoff, GroupTransfer transfer, IKvCodec codec, int layer, int granule, IndexRange heads, out CodecFlags flags, out long copied)
    {
        long at = PhaseClock.Now;
        HandoffShape shape = handoff.Shape;
        KvLayerView view = handoff.Sequence.View(shape.OwnLayer(layer), shape.OwnTokens);
        int offset = 0, historyBytes = SegmentCoder.HistoryBytes(transfer, codec), tokens = shape.TokensIn(granule), planes = transfer.Source.Planes;
        flags = CodecFlags.None;
        for (int s = 0; s < heads.Count * planes; s++)
        {
            int head = heads.Start + s / planes;
            var plane = (KvPlane)(s % planes);
            Span<byte> encoded = _staging!.Span(offset, SegmentCoder.MaxEncodedBytes(transfer, codec, plane, tokens));
            EncodedSegment segment = SegmentCoder.Encode(transfer, codec, view, head, plane, shape.OwnGranule(granule), _history.Of(handoff, shape.OwnLayer(layer), head * planes + (int)plane)[..historyBytes], encoded);
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
