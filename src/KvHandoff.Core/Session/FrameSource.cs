using System.Diagnostics;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Builds and sends the frames of one data connection: straight out of the blocks where rows lie in runs, through a staging buffer
/// otherwise. Small frames that wait together go out together. Used by one thread; allocates per handoff, never per frame.
/// </summary>
internal sealed class FrameSource(IConnection connection, ulong epoch, RemoteWindow? remote = null) : IDisposable
{
    // Measured with frames of 4 to 256 KiB over TCP and Unix sockets: up to 64 KiB a call for several frames takes 15 to 70 % less time than one for each, at
    // 256 KiB nothing is gained, and the receiver would begin later.
    private const int SmallBytes = 128 << 10, BatchBytes = 1 << 20, BatchFrames = 16, RemoteBatchFrames = 128;

    private readonly EncoderHistory _history = new();
    private readonly RemoteFlushes? _remote = remote is not null && connection is IRemoteMemoryPeer peer ? new RemoteFlushes(peer) : null;
    private readonly CodecChoice _choice = new();
    private SegmentEntry[] _entries = [];
    private IoRange[] _ranges = [], _targets = [];
    private NativeSlab? _heads, _staging;
    private int _frames, _rangeCount, _firstRange, _headsUsed, _stagingUsed, _perFrameRanges, _perFrameHead;
    private long _batchBytes;
    private bool _lastMayBeJoined;
    private uint _sequence;

    /// <summary>Whether another frame may join those that wait to be sent.</summary>
    internal bool HasRoom => _remote is { IsEmpty: false } ? _frames < RemoteBatchFrames
        : _frames is > 0 and < BatchFrames && _lastMayBeJoined && _batchBytes < BatchBytes && !connection.ActsOnMessages;

    /// <summary>Sends one granule of one layer of a piece. A result that is not Ok ends the connection.</summary>
    internal TransportResult Send(OutgoingHandoff handoff, HandoffPiece piece, int frame)
    {
        TransportResult added = Add(handoff, piece, frame);
        return added.IsOk ? Flush() : added;
    }

    /// <summary>Builds a frame behind those that wait to be sent. The blocks must stay in use until <see cref="Flush"/>.</summary>
    internal TransportResult Add(OutgoingHandoff handoff, HandoffPiece piece, int frame)
    {
        HandoffShape shape = handoff.Shape;
        if (!Fits(shape))
        {
            TransportResult sent = Flush();
            if (!sent.IsOk) return sent;
            Prepare(shape);
        }

        (int layer, int granule) = piece.Locate(frame);
        if (handoff.Window is not null && remote is null) return AddPlaced(handoff, piece, frame, layer, granule);
        bool isRemote = handoff.Window is not null && _remote is not null && shape.LiesAlike(piece.Transfer);
        // Headers keep the order of their frames: those that wait for rows to be in place go first.
        if (_frames > 0 && isRemote == _remote is { IsEmpty: true } && Flush() is { IsOk: false } failed) return failed;
        if (isRemote) return AddRemote(handoff, piece, frame, layer, granule);
        int g = piece.Transfer, planes = shape.Groups[g].Source.Planes, segments = piece.Heads.Count * planes;
        long started = PhaseClock.Now, rawBytes = (long)segments * shape.TokensIn(granule) * shape.Groups[g].Source.RowBytes;
        IKvCodec codec = _choice.Next(shape.Codecs, rawBytes);
        var heads = new IndexRange(shape.OwnHead(g, piece.Heads.Start), piece.Heads.Count);
        var rows = new GranuleRows(handoff.Sequence, shape.OwnLayer(layer), shape.OwnGranule(granule), shape.OwnTokens, heads);
        bool direct = shape.IsDirect(g, codec);
        var flags = CodecFlags.None;
        long copied = 0;
        long payloadBytes = direct ? ChecksumInPlace(handoff, rows, heads, planes) : EncodeStaged(handoff, shape.Groups[g], codec, layer, granule, heads, out flags, out copied);

        AddHead(handoff, piece, frame, layer, granule, shape.Groups[g], codec, flags, payloadBytes, placed: false, copied);
        if (direct) _rangeCount += rows.Ranges(_ranges.AsSpan(_rangeCount));
        else _ranges[_rangeCount++] = new IoRange(_staging!.Address + _stagingUsed, (nint)payloadBytes);
        if (!direct) _stagingUsed += (int)payloadBytes;
        // A codec that is chosen by its speed is judged by the time of its own frame.
        if (shape.Codecs.Length == 1) return TransportResult.Ok;
        TransportResult alone = Flush();
        if (alone.IsOk) _choice.Report(codec, rawBytes, payloadBytes, Stopwatch.GetElapsedTime(started).TotalSeconds);
        return alone;
    }

    /// <summary>Sends what waits, in one call.</summary>
    internal TransportResult Flush()
    {
        if (_frames == 0) return TransportResult.Ok;
        TransportResult sent = TransportResult.Ok;
        for (int end = 1; _remote is { IsEmpty: false } && sent.IsOk && end > 0;)
        {
            sent = _remote.Next(out end);
            if (sent.IsOk) sent = SendUpTo(end);
        }

        if (sent.IsOk) sent = SendUpTo(_rangeCount);
        Clear();
        return sent;
    }

    /// <summary>Whether <see cref="TryFlush"/> can be used.</summary>
    internal bool CanTry => connection is IPolledConnection && _remote is null;

    /// <summary>Whether something waits that <see cref="TryFlush"/> found no room for: <see cref="Flush"/> comes next.</summary>
    internal bool HasUnsent => _frames > 0;

    /// <summary>Sends what waits as far as there is room.</summary>
    internal TransportResult TryFlush()
    {
        if (_frames == 0) return TransportResult.Ok;
        TransportResult sent = ((IPolledConnection)connection).TrySendVectors(_ranges.AsSpan(_firstRange, _rangeCount - _firstRange), out Span<IoRange> rest);
        if (rest.IsEmpty) Clear();
        else _firstRange = _rangeCount - rest.Length;
        return sent;
    }

    /// <summary>The connection ends: returns when it reads no rows any more.</summary>
    internal void Abandon()
    {
        if (_remote is null) return;
        connection.Abort();
        _remote.Abandon();
    }

    private TransportResult SendUpTo(int rangeEnd)
    {
        if (rangeEnd <= _firstRange) return TransportResult.Ok;
        TransportResult sent = connection.SendVectors(_ranges.AsSpan(_firstRange, rangeEnd - _firstRange));
        _firstRange = rangeEnd;
        return sent;
    }

    private void Clear()
    {
        _frames = _rangeCount = _firstRange = _headsUsed = _stagingUsed = 0;
        _batchBytes = 0;
    }

    /// <summary>Writes the rows into the receiver's blocks; the header and the checksums of what lies there are all that is sent.</summary>
    private TransportResult AddPlaced(OutgoingHandoff handoff, HandoffPiece piece, int frame, int layer, int granule)
    {
        HandoffShape shape = handoff.Shape;
        int g = piece.Transfer, planes = shape.Groups[g].Source.Planes, segments = piece.Heads.Count * planes;
        long at = PhaseClock.Now, payloadBytes = 0;
        KvSequence window = handoff.Window!;
        KvLayerView target = window.View(layer, shape.TotalTokens);
        bool alike = shape.LiesAlike(g), streaming = shape.KvBytes >= PlacedFrames.StreamingBytes;
        for (int s = 0; s < segments; s++)
        {
            int head = s / planes;
            var plane = (KvPlane)(s % planes);
            uint crc;
            int bytes;
            if (alike && !handoff.IsInPlace)
            {
                crc = PlacedFrames.Copy(handoff.Sequence.View(layer, shape.TotalTokens), target, head, plane, granule, streaming, out bytes);
            }
            else if (handoff.IsTrusted)
            {
                crc = 0;
                bytes = shape.Placed!.SegmentBytes(g, target, head, plane, granule);
            }
            else
            {
                if (!handoff.IsInPlace && PlacedFrames.Place(shape.Groups[g], handoff.Sequence.View(layer, shape.TotalTokens), target, head, plane, granule) is { } error)
                    return new TransportResult(TransportStatus.Failed, error);
                crc = shape.Placed!.Checksum(g, target, head, plane, granule, out bytes);
            }

            _entries[s] = new SegmentEntry(crc, (uint)bytes);
            payloadBytes += bytes;
        }

        // The header is what tells the receiver that the rows are there.
        if (streaming) ChecksummedCopy.Fence();
        handoff.Clock.Add(HandoffPhase.Place, at);
        AddHead(handoff, piece, frame, layer, granule, shape.Placed!.Stored(g), KvCodecs.Raw, CodecFlags.None, payloadBytes, placed: true, handoff.IsInPlace ? 0 : payloadBytes);
        return TransportResult.Ok;
    }

    /// <summary>Begins to write the rows into the receiver's blocks from afar; the header goes when they are in place.</summary>
    private TransportResult AddRemote(OutgoingHandoff handoff, HandoffPiece piece, int frame, int layer, int granule)
    {
        HandoffShape shape = handoff.Shape;
        int g = piece.Transfer, planes = shape.Groups[g].Source.Planes, segments = piece.Heads.Count * planes;
        long at = PhaseClock.Now, payloadBytes = 0;
        var own = new GranuleRows(handoff.Sequence, layer, granule, shape.TotalTokens, piece.Heads);
        // From memory into the cache, where the transport finds the rows.
        for (int s = 0; s < segments; s++)
        {
            uint crc = own.Checksum(piece.Heads.Start + s / planes, (KvPlane)(s % planes), out int bytes);
            _entries[s] = new SegmentEntry(crc, (uint)bytes);
            payloadBytes += bytes;
        }

        at = handoff.Clock.Add(HandoffPhase.Encode, at);
        int sources = own.Ranges(_ranges.AsSpan(_rangeCount));
        int targets = new GranuleRows(handoff.Window!, layer, granule, shape.TotalTokens, piece.Heads).Ranges(_targets);
        TransportResult written = remote!.StartWrites(_remote!.Peer, _ranges.AsSpan(_rangeCount, sources), _targets.AsSpan(0, targets));
        handoff.Clock.Add(HandoffPhase.Place, at);
        if (!written.IsOk) return written;
        AddHead(handoff, piece, frame, layer, granule, shape.Placed!.Stored(g), KvCodecs.Raw, CodecFlags.None, payloadBytes, placed: true, 0);
        written = _remote.Written(payloadBytes, _rangeCount);
        if (written.IsOk) written = _remote.TryNext(out int inPlace) is { IsOk: false } failed ? failed : SendUpTo(inPlace);
        return written;
    }

    private void AddHead(OutgoingHandoff handoff, HandoffPiece piece, int frame, int layer, int granule, GroupTransfer transfer, IKvCodec codec, CodecFlags flags, long payloadBytes, bool placed, long copied)
    {
        int segments = piece.Heads.Count * transfer.Source.Planes, bytes = FrameHeader.Bytes + segments * SegmentEntry.Bytes;
        ReadOnlySpan<SegmentEntry> entries = _entries.AsSpan(0, segments);
        Span<byte> head = _heads!.Span(_headsUsed, bytes);
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
            TableCrc = SegmentTable.Write(entries, head[FrameHeader.Bytes..]),
        };
        header.Write(head);
        _ranges[_rangeCount++] = new IoRange(_heads.Address + _headsUsed, bytes);
        _headsUsed += bytes;
        _batchBytes += payloadBytes;
        _frames++;
        // Rows that are placed are told of at once: a head in a ring costs next to nothing, and the receiver verifies while the next are placed.
        _lastMayBeJoined = payloadBytes < SmallBytes && !placed;
        handoff.FrameBuilt(frame, bytes + (placed ? 0 : payloadBytes), copied, HandoffShape.DigestOf(header, entries));
    }

    public void Dispose()
    {
        _heads?.Dispose();
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
            Span<byte> encoded = _staging!.Span(_stagingUsed + offset, SegmentCoder.MaxEncodedBytes(transfer, codec, plane, tokens));
            EncodedSegment segment = SegmentCoder.Encode(transfer, codec, view, head, plane, shape.OwnGranule(granule), _history.Of(handoff, shape.OwnLayer(layer), head * planes + (int)plane)[..historyBytes], encoded);
            flags |= segment.Flags;
            _entries[s] = new SegmentEntry(segment.Crc32C, (uint)segment.Bytes);
            offset += segment.Bytes;
        }

        copied = offset;
        handoff.Clock.Add(HandoffPhase.Encode, at);
        return offset;
    }

    // Whether one more frame of the shape goes into the buffers as they are.
    private bool Fits(HandoffShape shape) =>
        _entries.Length >= shape.MaxSegments && _perFrameRanges >= shape.MaxRanges + 1 && _perFrameHead >= HeadBytes(shape) && _history.Fits(shape)
        && (_remote is null || _targets.Length >= shape.MaxTargetRanges)
        && (!shape.NeedsStaging || (_staging is not null && _staging.LengthBytes - _stagingUsed >= shape.MaxPayloadBytes));

    private static int HeadBytes(HandoffShape shape) => FrameHeader.Bytes + shape.MaxSegments * SegmentEntry.Bytes;

    private void Prepare(HandoffShape shape)
    {
        int frames = _remote is null ? BatchFrames : RemoteBatchFrames;
        if (_entries.Length < shape.MaxSegments) _entries = new SegmentEntry[shape.MaxSegments];
        if (_remote is not null && _targets.Length < shape.MaxTargetRanges) _targets = new IoRange[shape.MaxTargetRanges];
        if (_perFrameHead < HeadBytes(shape))
        {
            _perFrameHead = HeadBytes(shape);
            _heads?.Dispose();
            _heads = NativeSlab.Allocate((long)frames * _perFrameHead);
        }

        if (_perFrameRanges < shape.MaxRanges + 1)
        {
            _perFrameRanges = shape.MaxRanges + 1;
            _ranges = GC.AllocateUninitializedArray<IoRange>(frames * _perFrameRanges, pinned: true);
        }

        _history.Prepare(shape);
        if (!shape.NeedsStaging) return;
        long staging = shape.MaxPayloadBytes < SmallBytes ? BatchBytes + shape.MaxPayloadBytes : shape.MaxPayloadBytes;
        if (_staging is not null && _staging.LengthBytes >= staging) return;
        _staging?.Dispose();
        _staging = NativeSlab.Allocate(staging);
    }
}
