using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Session;

/// <summary>
/// How frames go whose rows the sender writes into the receiver's blocks by itself: what lies there in the receiver's own form is what is
/// checksummed, so no payload follows.
/// </summary>
internal sealed class PlacedFrames
{
    private readonly ImmutableArray<GroupTransfer> _stored;

    private PlacedFrames(ImmutableArray<GroupTransfer> stored) => _stored = stored;

    /// <summary>The receiver's groups as they lie, per group of the plan.</summary>
    internal GroupTransfer Stored(int group) => _stored[group];

    /// <summary>
    /// Null where a sender could not write so: codecs that lose something were asked for, rows of the receiver are no runs of bytes, or a scale
    /// lies elsewhere than in the blocks.
    /// </summary>
    internal static PlacedFrames? Of(TransferPlan plan, ImmutableArray<IKvCodec> codecs)
    {
        if (!codecs.Any(c => c.IsIdentity) || !plan.SourcePart.IsAll || !plan.TargetPart.IsAll) return null;
        foreach (GroupTransfer transfer in plan.Groups)
        {
            if (!SegmentRows.IsDirect(transfer.Target.Geometry)) return null;
            for (int plane = 0; plane < transfer.Target.Planes; plane++)
            {
                StorageForm form = transfer.Target.Form((KvPlane)plane);
                if (form.IsScaled && !form.HasStoredScales) return null;
            }
        }

        return new PlacedFrames([.. plan.Groups.Select(g => GroupTransfer.Create(g.Target, g.Target) with { Group = g.Group, SourceGroup = g.TargetGroup, TargetGroup = g.TargetGroup })]);
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

    /// <summary>Copies rows that lie alike on both sides, run by run.</summary>
    internal static void Copy(in KvLayerView source, in KvLayerView target, int head, KvPlane plane, int granule)
    {
        var from = new SegmentPieces(source, head, plane, granule);
        var to = new SegmentPieces(target, head, plane, granule);
        // Both sides of equal forms yield the same bytes, cut where their blocks end.
        bool more = from.Next(out Span<byte> read) & to.Next(out Span<byte> write);
        while (more)
        {
            int bytes = Math.Min(read.Length, write.Length);
            read[..bytes].CopyTo(write);
            read = read[bytes..];
            write = write[bytes..];
            more = (!read.IsEmpty || from.Next(out read)) & (!write.IsEmpty || to.Next(out write));
        }
    }
}
