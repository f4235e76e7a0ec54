using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Session;

/// <summary>What the codec of an offer allows frames to be encoded with.</summary>
internal static class OfferedCodecs
{
    /// <summary>The codecs, raw first where frames choose; empty when this version does not know the number.</summary>
    internal static ImmutableArray<IKvCodec> Of(CodecId offered, TransferPlan plan) => offered switch
    {
        // Frames may choose only among what every group's rows can pass through.
        CodecId.Auto => [.. KvCodecs.All.Where(c => c.IsIdentity || (c.Id == CodecId.ExponentWindow && Takes(c, plan)))],
        CodecId.AutoLossy => [.. KvCodecs.All.Where(c => c.IsIdentity || (c.Id is CodecId.ExponentWindow or CodecId.Int8 && Takes(c, plan)))],
        _ => KvCodecs.TryGet(offered, out IKvCodec? codec) ? [codec] : [],
    };

    private static bool Takes(IKvCodec codec, TransferPlan plan) => plan.Groups.All(g => SegmentCoder.Refusal(g, codec) is null);
}
