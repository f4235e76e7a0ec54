using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>Sizes that both sides of one handoff derive from the layout, the token count and the codec.</summary>
internal sealed class HandoffShape
{
    internal HandoffShape(KvCacheLayout layout, int totalTokens, IKvCodec codec)
    {
        Layout = layout;
        TotalTokens = totalTokens;
        Codec = codec;
        Granules = KvSegment.GranuleCount(totalTokens);
        foreach (LayerGroup group in layout.Groups)
        {
            BlockGeometry geometry = group.Geometry;
            var shape = new SegmentShape(KvSegment.GranuleTokens, group.HeadDim, group.ElementType);
            MaxSegments = Math.Max(MaxSegments, geometry.KvHeads * geometry.Planes);
            MaxSegmentRowsBytes = Math.Max(MaxSegmentRowsBytes, shape.RowsBytes);
            MaxPayloadBytes = Math.Max(MaxPayloadBytes, (long)geometry.KvHeads * geometry.Planes * codec.MaxEncodedBytes(shape));
            MaxRanges = Math.Max(MaxRanges, GranuleRows.MaxRanges(geometry));
            NeedsStaging |= !IsDirect(group);
        }
    }

    internal KvCacheLayout Layout { get; }

    internal int TotalTokens { get; }

    internal IKvCodec Codec { get; }

    internal int Granules { get; }

    internal int MaxSegments { get; }

    internal int MaxSegmentRowsBytes { get; }

    internal long MaxPayloadBytes { get; }

    internal int MaxRanges { get; }

    /// <summary>Whether any group's rows pass through a staging buffer.</summary>
    internal bool NeedsStaging { get; }

    internal long KvBytes => (long)TotalTokens * Layout.BytesPerToken;

    internal int TokensIn(int granule) => KvSegment.TokensIn(granule, TotalTokens);

    internal SegmentShape Segment(LayerGroup group, int granule) => new(TokensIn(granule), group.HeadDim, group.ElementType);

    /// <summary>Whether the rows of a group can be sent from, and received into, the blocks as they lie.</summary>
    internal bool IsDirect(LayerGroup group) => Codec.IsIdentity && SegmentRows.IsDirect(group.Geometry);

    /// <summary>A frame's part of the handoff's digest: order-independent, so that streams need not agree on one.</summary>
    internal static uint DigestOf(int layer, int granule, uint tableCrc)
    {
        Span<byte> bytes = stackalloc byte[12];
        System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(bytes, layer);
        System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], granule);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], tableCrc);
        return Numerics.Crc32C.Compute(bytes);
    }

    /// <summary>Why a handoff of this shape cannot be framed, or null.</summary>
    internal static string? Refusal(KvCacheLayout layout, int totalTokens, IKvCodec codec)
    {
        if (totalTokens is < 1 or > WireConstants.MaxTokens) return $"{totalTokens} tokens were offered; allowed: 1 to {WireConstants.MaxTokens}.";
        foreach (LayerGroup group in layout.Groups)
        {
            if (!codec.Supports(group.ElementType)) return $"Codec {codec.Name} does not take elements of type {group.ElementType}.";
        }

        long payload = new HandoffShape(layout, Math.Min(totalTokens, KvSegment.GranuleTokens), codec).MaxPayloadBytes;
        return payload > WireConstants.MaxFramePayloadBytes
            ? $"One granule of one layer takes {payload} bytes; a frame holds {WireConstants.MaxFramePayloadBytes}."
            : null;
    }
}
