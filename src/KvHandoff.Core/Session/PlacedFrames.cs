using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Session;

/// <summary>
/// How frames go whose rows the sender writes into the receiver's blocks by itself: what lies there in the receiver's own form is what is
/// checksummed, so no payload follows.
/// </summary>
internal sealed class PlacedFrames
{
    /// <summary>Handoffs of so many bytes are written past the caches: by the time they are read again the caches have lost them anyway.</summary>
    internal const long StreamingBytes = 4 << 20;

    private readonly ImmutableArray<GroupTransfer> _stored;

    private PlacedFrames(ImmutableArray<GroupTransfer> stored) => _stored = stored;

    /// <summary>The receiver's groups as they lie, per group of the plan.</summary>
    internal GroupTransfer Stored(int group) => _stored[group];

    /// <summary>
    /// Null where a sender could not write so: codecs that lose something were asked for, the caches are parts, or a scale lies elsewhere than in
    /// the blocks.
    /// </summary>
    internal static PlacedFrames? Of(TransferPlan plan, ImmutableArray<IKvCodec> codecs)
    {
        if (!codecs.Any(c => c.IsIdentity) || !plan.SourcePart.IsAll || !plan.TargetPart.IsAll) return null;
        foreach (GroupTransfer transfer in plan.Groups)
        {
            for (int plane = 0; plane < transfer.Target.Planes; plane++)
            {
                StorageForm form = transfer.Target.Form((KvPlane)plane);
                if (form.IsScaled && !form.HasStoredScales) return null;
            }
        }

        return new PlacedFrames([.. plan.Groups.Select(g => GroupTransfer.Create(g.Target, g.Target) with { Group = g.Group, SourceGroup = g.TargetGroup, TargetGroup = g.TargetGroup })]);
    }

    /// <summary>CRC-32C of one segment as it travels, where it lies in the receiver's blocks; both sides compute it so.</summary>
    internal uint Checksum(int group, in KvLayerView view, int head, KvPlane plane, int granule, out int bytes)
    {
        if (SegmentRows.IsDirect(view.Geometry))
        {
            var pieces = new SegmentPieces(view, head, plane, granule);
            uint crc = 0;
            bytes = 0;
            while (pieces.Next(out Span<byte> piece))
            {
                crc = Crc32C.Append(crc, piece);
                bytes += piece.Length;
            }

            return crc;
        }

        // Rows that lie row by row are put in token order on their way through the checksum.
        GroupTransfer stored = _stored[group];
        byte[] scratch = ScratchBuffers.Rent(SegmentCoder.MaxEncodedBytes(stored, KvCodecs.Raw, plane, KvSegment.TokensIn(granule, view.Tokens)));
        EncodedSegment encoded = SegmentCoder.Encode(stored, KvCodecs.Raw, view, head, plane, granule, default, scratch);
        ScratchBuffers.Return(scratch);
        bytes = encoded.Bytes;
        return encoded.Crc32C;
    }

    /// <summary>The length that <see cref="Checksum"/> gives, without reading a row.</summary>
    internal int SegmentBytes(int group, in KvLayerView view, int head, KvPlane plane, int granule)
    {
        if (!SegmentRows.IsDirect(view.Geometry)) return SegmentCoder.MaxEncodedBytes(_stored[group], KvCodecs.Raw, plane, KvSegment.TokensIn(granule, view.Tokens));
        var pieces = new SegmentPieces(view, head, plane, granule);
        int bytes = 0;
        while (pieces.Next(out Span<byte> piece)) bytes += piece.Length;
        return bytes;
    }

    /// <summary>Writes one segment's rows from the sender's layer to the receiver's, by way of a buffer that stays in the nearest cache.</summary>
    internal static string? Place(GroupTransfer transfer, in KvLayerView source, in KvLayerView target, int head, KvPlane plane, int granule)
    {
        IKvCodec raw = KvCodecs.Raw;
        byte[] scratch = ScratchBuffers.Rent(SegmentCoder.MaxEncodedBytes(transfer, raw, plane, KvSegment.TokensIn(granule, source.Tokens)));
        EncodedSegment encoded = SegmentCoder.Encode(transfer, raw, source, head, plane, granule, default, scratch);
        bool good = SegmentCoder.TryDecode(transfer, raw, scratch.AsSpan(0, encoded.Bytes), target, head, plane, granule, out string? error);
        ScratchBuffers.Return(scratch);
        return good ? null : error;
    }

    /// <summary>Copies rows that lie alike on both sides, run by run, and gives their checksum as <see cref="Checksum"/> would.</summary>
    internal static uint Copy(in KvLayerView source, in KvLayerView target, int head, KvPlane plane, int granule, bool streaming, out int bytes)
    {
        var from = new SegmentPieces(source, head, plane, granule);
        var to = new SegmentPieces(target, head, plane, granule);
        uint crc = 0;
        bytes = 0;
        // Both sides of equal forms yield the same bytes, cut where their blocks end.
        bool more = from.Next(out Span<byte> read) & to.Next(out Span<byte> write);
        while (more)
        {
            int step = Math.Min(read.Length, write.Length);
            crc = ChecksummedCopy.Append(crc, read[..step], write, streaming);
            bytes += step;
            read = read[step..];
            write = write[step..];
            more = (!read.IsEmpty || from.Next(out read)) & (!write.IsEmpty || to.Next(out write));
        }

        return crc;
    }
}
