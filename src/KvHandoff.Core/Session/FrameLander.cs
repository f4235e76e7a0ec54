using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Receives frames from one data connection: into the final blocks where the rows lie in runs, through a staging buffer otherwise.
/// Used by one thread; allocates per handoff, never per frame.
/// </summary>
internal sealed class FrameLander(IConnection connection, KvReceiver receiver, ReceiverPeer peer) : IDisposable
{
    private const int DrainBytes = 256 << 10;

    private readonly byte[] _header = new byte[FrameHeader.Bytes];
    private byte[] _table = [];
    private SegmentEntry[] _entries = [];
    private IoRange[] _ranges = [];
    private byte[] _drained = [];
    private NativeSlab? _staging;
    private uint _expectedSequence;

    /// <summary>Receives and lands one frame. A result that is not Ok ends the connection.</summary>
    internal TransportResult Next()
    {
        TransportResult got = connection.Receive(_header);
        if (!got.IsOk) return got;
        long started = PhaseClock.Now;
        WireError? error = FrameHeader.TryRead(_header, out FrameHeader header);
        if (error is null && header.Sequence != _expectedSequence)
            error = new WireError(WireErrorCode.BadValue, $"Frame sequence is {header.Sequence}; expected {_expectedSequence}.");
        if (error is not null) return Refuse(error);
        _expectedSequence++;

        Grow(ref _table, header.SegmentCount * SegmentEntry.Bytes);
        Grow(ref _entries, header.SegmentCount);
        Span<byte> table = _table.AsSpan(0, header.SegmentCount * SegmentEntry.Bytes);
        got = connection.Receive(table);
        if (!got.IsOk) return InMidFrame(got);
        Span<SegmentEntry> entries = _entries.AsSpan(0, header.SegmentCount);
        error = SegmentTable.TryRead(header, table, entries);
        if (error is not null) return Refuse(error);

        IncomingPart? part = receiver.FindLanding(header.HandoffId)?.PartOf(peer);
        HandoffPiece? piece = null;
        string? mismatch = part is null ? $"no handoff {header.HandoffId} of this sender is landing" : Mismatch(header, part, out piece);
        if (mismatch is not null)
        {
            // A late or stale frame is drained and dropped; one that contradicts a live grant ends that handoff.
            receiver.CountFenced();
            if (part is not null && !IsStale(header, part))
                part.Handoff.Fail(AbortReason.ProtocolError, $"Frame {header.Sequence} does not fit the grant: {mismatch}.");
            return Drain(Following(header));
        }

        int frame = piece!.FrameOf(header.Layer, header.Granule);
        if (!part!.TryClaim(frame)) return Drain(Following(header));
        bool landed = false;
        try
        {
            IKvCodec codec = header.IsPlaced ? KvCodecs.Raw : part.Shape.FindCodec(piece.Transfer, header.Codec)!;
            long copied = 0;
            string? corrupt;
            got = header.IsPlaced ? VerifyInPlace(header, part, piece, entries, started, out corrupt)
                : part.Shape.IsDirect(piece.Transfer, codec) ? ReceiveInPlace(header, part, piece, entries, started, out corrupt)
                : ReceiveStaged(header, part, piece, codec, entries, started, out corrupt, out copied);
            if (!got.IsOk) return InMidFrame(got);
            if (corrupt is not null)
            {
                part.Handoff.Fail(AbortReason.Corrupt, corrupt);
                return got;
            }

            landed = true;
            part.Land(frame, part.Shape.OwnLayer(header.Layer), FrameHeader.Bytes + table.Length + Following(header), copied, HandoffShape.DigestOf(header, entries));
            return got;
        }
        finally
        {
            if (!landed) part.Abandon(frame);
        }
    }

    public void Dispose() => _staging?.Dispose();

    private TransportResult ReceiveInPlace(in FrameHeader header, IncomingPart part, HandoffPiece piece, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt)
    {
        corrupt = null;
        GranuleRows rows = Rows(header, part, piece);
        Grow(ref _ranges, part.Shape.MaxRanges);
        int count = rows.Ranges(_ranges);
        TransportResult got = connection.ReceiveVectors(_ranges.AsSpan(0, count));
        since = part.Handoff.Clock.Add(HandoffPhase.Wire, since);
        return got.IsOk ? Verify(header, part, rows, entries, since, out corrupt) : got;
    }

    /// <summary>The sender wrote the rows itself: they are read where they lie.</summary>
    private TransportResult VerifyInPlace(in FrameHeader header, IncomingPart part, HandoffPiece piece, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt)
    {
        corrupt = null;
        if (receiver.TrustsSameHost && peer.IsSameHost) return TransportResult.Ok;
        HandoffShape shape = part.Shape;
        KvLayerView view = part.Handoff.Target.View(shape.OwnLayer(header.Layer), shape.OwnTokens);
        for (int s = 0; s < entries.Length && corrupt is null; s++)
        {
            int head = shape.OwnHead(piece.Transfer, header.FirstHead + s / header.Planes);
            uint actual = shape.Placed!.Checksum(piece.Transfer, view, head, (KvPlane)(s % header.Planes), shape.OwnGranule(header.Granule), out _);
            if (actual != entries[s].Crc32C && (receiver.Without & Guards.Checksums) == 0) corrupt = CorruptText(header, s, entries[s].Crc32C, actual);
        }

        part.Handoff.Clock.Add(HandoffPhase.Verify, since);
        return TransportResult.Ok;
    }

    private static GranuleRows Rows(in FrameHeader header, IncomingPart part, HandoffPiece piece)
    {
        HandoffShape shape = part.Shape;
        var heads = new IndexRange(shape.OwnHead(piece.Transfer, header.FirstHead), header.HeadCount);
        return new GranuleRows(part.Handoff.Target, shape.OwnLayer(header.Layer), shape.OwnGranule(header.Granule), shape.OwnTokens, heads);
    }

    private static int Following(in FrameHeader header) => header.IsPlaced ? 0 : header.PayloadBytes;

    private TransportResult Verify(in FrameHeader header, IncomingPart part, in GranuleRows rows, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt)
    {
        corrupt = null;
        for (int s = 0; s < entries.Length && corrupt is null; s++)
        {
            uint actual = rows.Checksum(rows.Heads.Start + s / header.Planes, (KvPlane)(s % header.Planes), out _);
            if (actual != entries[s].Crc32C && (receiver.Without & Guards.Checksums) == 0) corrupt = CorruptText(header, s, entries[s].Crc32C, actual);
        }

        part.Handoff.Clock.Add(HandoffPhase.Verify, since);
        return TransportResult.Ok;
    }

    private TransportResult ReceiveStaged(in FrameHeader header, IncomingPart part, HandoffPiece piece, IKvCodec codec, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt, out long copied)
    {
        corrupt = null;
        copied = 0;
        HandoffShape shape = part.Shape;
        PhaseClock clock = part.Handoff.Clock;
        GroupTransfer transfer = shape.Groups[piece.Transfer];
        if (_staging is null || _staging.LengthBytes < header.PayloadBytes)
        {
            _staging?.Dispose();
            _staging = NativeSlab.Allocate(shape.MaxPayloadBytes);
        }

        Span<byte> payload = _staging.Span(0, header.PayloadBytes);
        TransportResult got = connection.Receive(payload);
        long at = clock.Add(HandoffPhase.Wire, since);
        if (!got.IsOk) return got;

        KvLayerView view = part.Handoff.Target.View(shape.OwnLayer(header.Layer), shape.OwnTokens);
        for (int s = 0, offset = 0; s < entries.Length && corrupt is null; s++)
        {
            ReadOnlySpan<byte> encoded = payload.Slice(offset, (int)entries[s].EncodedBytes);
            offset += encoded.Length;
            uint actual = Crc32C.Compute(encoded);
            at = clock.Add(HandoffPhase.Verify, at);
            if (actual != entries[s].Crc32C && (receiver.Without & Guards.Checksums) == 0)
            {
                corrupt = CorruptText(header, s, entries[s].Crc32C, actual);
                break;
            }

            int head = shape.OwnHead(piece.Transfer, header.FirstHead + s / header.Planes);
            var plane = (KvPlane)(s % header.Planes);
            if (!SegmentCoder.TryDecode(transfer, codec, encoded, view, head, plane, shape.OwnGranule(header.Granule), out string? error))
                corrupt = $"Layer {header.Layer}, granule {header.Granule}, segment {s}: {error}";
            copied += header.Tokens * view.Group.RowBytes;
            at = clock.Add(HandoffPhase.Place, at);
        }

        return got;
    }

    private string? Mismatch(in FrameHeader header, IncomingPart part, out HandoffPiece? piece)
    {
        piece = null;
        bool fenced = (receiver.Without & Guards.Fences) == 0;
        if (fenced && header.Epoch != receiver.Epoch) return $"epoch {header.Epoch}, this receiver's is {receiver.Epoch}";
        if (fenced && header.LeaseId != part.LeaseId) return $"lease {header.LeaseId}, granted was {part.LeaseId}";
        HandoffShape shape = part.Shape;
        piece = shape.Find(header.Layer, header.FirstHead, header.Granule);
        if (piece is null) return $"layer {header.Layer}, granule {header.Granule}, heads from {header.FirstHead} on are not what this sender has to send";
        int g = piece.Transfer;
        // Rows that the sender placed are of this side's own form.
        if (header.IsPlaced && !part.Handoff.IsExposed) return "its rows are said to lie in the blocks, which this sender was not granted";
        GroupTransfer transfer = header.IsPlaced ? shape.Placed!.Stored(g) : shape.Groups[g];
        uint generation = part.SlotGenerations[g][header.Granule - shape.GranulesOf(g).First];
        if (fenced && header.SlotGeneration != generation) return $"slot generation {header.SlotGeneration}, granted was {generation}";
        IKvCodec? codec = !header.IsPlaced ? shape.FindCodec(g, header.Codec) : header.Codec == SegmentCoder.FrameCodec(transfer, KvCodecs.Raw) ? KvCodecs.Raw : null;
        if (codec is null)
            return $"codec {header.Codec}, granted was {shape.FrameCodecs(g)}";
        ElementType element = SegmentCoder.FrameElementType(transfer, codec);
        if (header.ElementType != element) return $"element type {header.ElementType}, expected {element}";
        if (header.HeadCount != piece.Heads.Count) return $"heads {header.FirstHead}+{header.HeadCount}, expected {piece.Heads.Start}+{piece.Heads.Count}";
        LayerGroup group = transfer.Target;
        if (header.Planes != group.Planes || header.HeadDim != group.HeadDim) return $"planes {header.Planes} x dim {header.HeadDim}, expected {group.Planes} x {group.HeadDim}";
        int tokens = shape.TokensIn(header.Granule);
        if (header.Tokens != tokens) return $"{header.Tokens} tokens, expected {tokens}";
        for (int s = 0; s < header.SegmentCount; s++)
        {
            uint bytes = _entries[s].EncodedBytes;
            int limit = SegmentCoder.MaxEncodedBytes(transfer, codec, (KvPlane)(s % header.Planes), tokens);
            if (bytes > limit || (codec.IsIdentity && bytes != limit))
                return $"segment {s} of {bytes} bytes, expected {(codec.IsIdentity ? "" : "at most ")}{limit}";
        }

        return null;
    }

    private bool IsStale(in FrameHeader header, IncomingPart part) => header.Epoch != receiver.Epoch || header.LeaseId != part.LeaseId;

    private TransportResult Drain(int bytes)
    {
        Grow(ref _drained, DrainBytes);
        for (int left = bytes; left > 0;)
        {
            int step = Math.Min(left, _drained.Length);
            TransportResult got = connection.Receive(_drained.AsSpan(0, step));
            if (!got.IsOk) return InMidFrame(got);
            left -= step;
        }

        return default;
    }

    private TransportResult Refuse(WireError error)
    {
        peer.ReportFault(error);
        return new TransportResult(TransportStatus.Failed, error.Message);
    }

    private static TransportResult InMidFrame(TransportResult got) =>
        got.Status == TransportStatus.Closed ? new TransportResult(TransportStatus.Truncated, "The stream ended inside a frame.") : got;

    private static string CorruptText(in FrameHeader header, int segment, uint expected, uint actual) =>
        $"CRC-32C of layer {header.Layer}, granule {header.Granule}, head {segment / header.Planes}, {(KvPlane)(segment % header.Planes)} is {actual:x8}; the frame says {expected:x8}.";

    private static void Grow<T>(ref T[] buffer, int length)
    {
        if (buffer.Length < length) buffer = GC.AllocateUninitializedArray<T>(length, pinned: true);
    }

}
