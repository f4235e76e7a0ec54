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

        IncomingHandoff? handoff = receiver.FindLanding(header.HandoffId);
        string? mismatch = handoff is null ? $"no handoff {header.HandoffId} is landing" : Mismatch(header, handoff);
        if (mismatch is not null)
        {
            // A late or stale frame is drained and dropped; one that contradicts a live grant ends that handoff.
            receiver.CountFenced();
            if (handoff is not null && !IsStale(header, handoff))
                KvReceiver.Fail(handoff, AbortReason.ProtocolError, $"Frame {header.Sequence} does not fit the grant: {mismatch}.");
            return Drain(header.PayloadBytes);
        }

        if (!handoff!.TryClaim(header.Layer, header.Granule)) return Drain(header.PayloadBytes);
        bool landed = false;
        try
        {
            int g = handoff.Shape.Layout.GroupOf(header.Layer);
            IKvCodec codec = handoff.Shape.FindCodec(g, header.Codec)!;
            long copied = 0;
            got = handoff.Shape.IsDirect(g, codec)
                ? ReceiveInPlace(header, handoff, entries, started, out string? corrupt)
                : ReceiveStaged(header, handoff, handoff.Shape.Groups[g], codec, entries, started, out corrupt, out copied);
            if (!got.IsOk) return InMidFrame(got);
            if (corrupt is not null)
            {
                KvReceiver.Fail(handoff, AbortReason.Corrupt, corrupt);
                return got;
            }

            landed = true;
            handoff.Land(header.Layer, header.Granule, FrameHeader.Bytes + table.Length + header.PayloadBytes, copied,
                HandoffShape.DigestOf(header.Layer, header.Granule, header.TableCrc));
            return got;
        }
        finally
        {
            if (!landed) handoff.Abandon();
        }
    }

    public void Dispose() => _staging?.Dispose();

    private TransportResult ReceiveInPlace(in FrameHeader header, IncomingHandoff handoff, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt)
    {
        corrupt = null;
        var rows = new GranuleRows(handoff.Target, header.Layer, header.Granule, handoff.Shape.TotalTokens);
        Grow(ref _ranges, handoff.Shape.MaxRanges);
        int count = rows.Ranges(_ranges);
        TransportResult got = connection.ReceiveVectors(_ranges.AsSpan(0, count));
        long at = handoff.Clock.Add(HandoffPhase.Wire, since);
        if (!got.IsOk) return got;
        for (int s = 0; s < entries.Length && corrupt is null; s++)
        {
            uint actual = rows.Checksum(s / header.Planes, (KvPlane)(s % header.Planes), out _);
            if (actual != entries[s].Crc32C) corrupt = CorruptText(header, s, entries[s].Crc32C, actual);
        }

        handoff.Clock.Add(HandoffPhase.Verify, at);
        return got;
    }

    private TransportResult ReceiveStaged(in FrameHeader header, IncomingHandoff handoff, GroupTransfer transfer, IKvCodec codec, ReadOnlySpan<SegmentEntry> entries, long since, out string? corrupt, out long copied)
    {
        corrupt = null;
        copied = 0;
        if (_staging is null || _staging.LengthBytes < header.PayloadBytes)
        {
            _staging?.Dispose();
            _staging = NativeSlab.Allocate(handoff.Shape.MaxPayloadBytes);
        }

        Span<byte> payload = _staging.Span(0, header.PayloadBytes);
        TransportResult got = connection.Receive(payload);
        long at = handoff.Clock.Add(HandoffPhase.Wire, since);
        if (!got.IsOk) return got;

        KvLayerView view = handoff.Target.View(header.Layer, handoff.Shape.TotalTokens);
        for (int s = 0, offset = 0; s < entries.Length && corrupt is null; s++)
        {
            ReadOnlySpan<byte> encoded = payload.Slice(offset, (int)entries[s].EncodedBytes);
            offset += encoded.Length;
            uint actual = Crc32C.Compute(encoded);
            at = handoff.Clock.Add(HandoffPhase.Verify, at);
            if (actual != entries[s].Crc32C)
            {
                corrupt = CorruptText(header, s, entries[s].Crc32C, actual);
                break;
            }

            int head = s / header.Planes;
            var plane = (KvPlane)(s % header.Planes);
            if (!SegmentCoder.TryDecode(transfer, codec, encoded, view, head, plane, header.Granule, out string? error))
                corrupt = $"Layer {header.Layer}, granule {header.Granule}, segment {s}: {error}";
            copied += header.Tokens * view.Group.RowBytes;
            at = handoff.Clock.Add(HandoffPhase.Place, at);
        }

        return got;
    }

    private string? Mismatch(in FrameHeader header, IncomingHandoff handoff)
    {
        if (header.Epoch != receiver.Epoch) return $"epoch {header.Epoch}, this receiver's is {receiver.Epoch}";
        if (header.LeaseId != handoff.LeaseId) return $"lease {header.LeaseId}, granted was {handoff.LeaseId}";
        if (!ReferenceEquals(handoff.Peer, peer)) return "the lease was granted to another peer";
        HandoffShape shape = handoff.Shape;
        if (header.Layer >= shape.Layout.LayerCount) return $"layer {header.Layer} of {shape.Layout.LayerCount}";
        if (header.Granule >= shape.Granules) return $"granule {header.Granule} of {shape.Granules}";
        int g = shape.Layout.GroupOf(header.Layer);
        LayerGroup group = shape.Layout.Groups[g];
        uint generation = handoff.SlotGenerations[g][header.Granule];
        if (header.SlotGeneration != generation) return $"slot generation {header.SlotGeneration}, granted was {generation}";
        GroupTransfer transfer = shape.Groups[g];
        if (shape.FindCodec(g, header.Codec) is not { } codec)
            return $"codec {header.Codec}, granted was {shape.FrameCodecs(g)}";
        ElementType element = SegmentCoder.FrameElementType(transfer, codec);
        if (header.ElementType != element) return $"element type {header.ElementType}, expected {element}";
        if (header.FirstHead != 0 || header.HeadCount != group.KvHeads) return $"heads {header.FirstHead}+{header.HeadCount}, expected 0+{group.KvHeads}";
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

    private bool IsStale(in FrameHeader header, IncomingHandoff handoff) =>
        header.Epoch != receiver.Epoch || header.LeaseId != handoff.LeaseId || !ReferenceEquals(handoff.Peer, peer);

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
