using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>Sizes that both sides of one handoff derive from their layouts, the token count and the codec.</summary>
internal sealed class HandoffShape
{
    private readonly bool[] _direct;

    /// <param name="plan">The two layouts.</param>
    /// <param name="sending">Whether this side is the sender.</param>
    /// <param name="totalTokens">Tokens that are handed over.</param>
    /// <param name="codecs">What frames may be encoded with: the one that was offered, or several of which every frame names one.</param>
    internal HandoffShape(TransferPlan plan, bool sending, int totalTokens, ImmutableArray<IKvCodec> codecs)
    {
        Layout = sending ? plan.Source : plan.Target;
        Groups = plan.Groups;
        TotalTokens = totalTokens;
        Codecs = codecs;
        Granules = KvSegment.GranuleCount(totalTokens);
        _direct = new bool[Groups.Length];
        for (int g = 0; g < Groups.Length; g++)
        {
            LayerGroup own = Layout.Groups[g];
            BlockGeometry geometry = own.Geometry;
            _direct[g] = LiesAsItTravels(Groups[g], own, geometry);
            MaxSegments = Math.Max(MaxSegments, geometry.KvHeads * geometry.Planes);
            MaxRanges = Math.Max(MaxRanges, GranuleRows.MaxRanges(geometry));
            foreach (IKvCodec codec in codecs)
            {
                long payload = 0;
                for (int plane = 0; plane < geometry.Planes; plane++)
                    payload += (long)geometry.KvHeads * SegmentCoder.MaxEncodedBytes(Groups[g], codec, (KvPlane)plane, KvSegment.GranuleTokens);
                MaxPayloadBytes = Math.Max(MaxPayloadBytes, payload);
                HistoryBytes = Math.Max(HistoryBytes, SegmentCoder.HistoryBytes(Groups[g], codec));
                NeedsStaging |= !IsDirect(g, codec);
            }
        }
    }

    /// <summary>The layout of this side.</summary>
    internal KvCacheLayout Layout { get; }

    /// <summary>How each layer group travels.</summary>
    internal ImmutableArray<GroupTransfer> Groups { get; }

    internal int TotalTokens { get; }

    /// <summary>What frames may be encoded with.</summary>
    internal ImmutableArray<IKvCodec> Codecs { get; }

    internal int Granules { get; }

    internal int MaxSegments { get; }

    internal long MaxPayloadBytes { get; }

    internal int MaxRanges { get; }

    /// <summary>Most bytes that a codec keeps per (layer, head, plane).</summary>
    internal int HistoryBytes { get; }

    /// <summary>Whether any group's rows pass through a staging buffer.</summary>
    internal bool NeedsStaging { get; }

    internal long KvBytes => (long)TotalTokens * Layout.BytesPerToken;

    internal int TokensIn(int granule) => KvSegment.TokensIn(granule, TotalTokens);

    /// <summary>Whether the segments of a group can be sent from, and received into, the blocks as they lie.</summary>
    internal bool IsDirect(int group, IKvCodec codec) => codec.IsIdentity && _direct[group];

    /// <summary>The codec that a frame of the group names, or null when none that was agreed on gives that number.</summary>
    internal IKvCodec? FindCodec(int group, CodecId frameCodec)
    {
        foreach (IKvCodec codec in Codecs)
        {
            if (SegmentCoder.FrameCodec(Groups[group], codec) == frameCodec) return codec;
        }

        return null;
    }

    /// <summary>The codec numbers that frames of the group may carry, for people.</summary>
    internal string FrameCodecs(int group) => string.Join(" or ", Codecs.Select(c => SegmentCoder.FrameCodec(Groups[group], c)));

    /// <summary>A frame's part of the handoff's digest: order-independent, so that streams need not agree on one.</summary>
    internal static uint DigestOf(int layer, int granule, uint tableCrc)
    {
        Span<byte> bytes = stackalloc byte[12];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, layer);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], granule);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], tableCrc);
        return Crc32C.Compute(bytes);
    }

    /// <summary>Why a handoff of this shape cannot be framed, or null.</summary>
    internal static string? Refusal(TransferPlan plan, int totalTokens, ImmutableArray<IKvCodec> codecs)
    {
        if (totalTokens is < 1 or > WireConstants.MaxTokens) return $"{totalTokens} tokens were offered; allowed: 1 to {WireConstants.MaxTokens}.";
        foreach (GroupTransfer group in plan.Groups)
        {
            foreach (IKvCodec codec in codecs)
            {
                if (SegmentCoder.Refusal(group, codec) is { } refusal) return refusal;
            }
        }

        long payload = new HandoffShape(plan, true, Math.Min(totalTokens, KvSegment.GranuleTokens), codecs).MaxPayloadBytes;
        return payload > WireConstants.MaxFramePayloadBytes
            ? $"One granule of one layer takes {payload} bytes; a frame holds {WireConstants.MaxFramePayloadBytes}."
            : null;
    }

    /// <summary>
    /// Why so many tokens of a sequence cannot be handed over, or null: of a tile that is packed already, all or nothing, for its tokens are
    /// in the blocks and not in the tail.
    /// </summary>
    internal static string? CutsTile(KvSequence sequence, int totalTokens)
    {
        foreach (LayerGroup group in sequence.Cache.Layout.Groups)
        {
            if (group.HasTail && totalTokens < sequence.Tokens && totalTokens % group.TileTokens != 0)
                return $"{totalTokens} of the sequence's {sequence.Tokens} tokens are offered; of a cache that is packed in tiles of {group.TileTokens}, all or a multiple of that.";
        }

        return null;
    }

    // A static scale travels with the codes but lies elsewhere; everything else that travels is in the blocks and the tail.
    private static bool LiesAsItTravels(GroupTransfer transfer, LayerGroup own, in BlockGeometry geometry)
    {
        if (!SegmentRows.IsDirect(geometry)) return false;
        for (int plane = 0; plane < own.Planes; plane++)
        {
            StorageForm form = own.Form((KvPlane)plane), wire = transfer.Wire((KvPlane)plane);
            bool same = form == wire || (!form.IsScaled && !wire.IsScaled && form.ElementType == wire.ElementType);
            if (!same || (form.IsScaled && !form.HasStoredScales)) return false;
        }

        return true;
    }
}
