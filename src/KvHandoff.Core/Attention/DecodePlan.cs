using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>A validated decode step: what the loops need to know besides the rows.</summary>
readonly struct DecodePlan
{
    /// <summary>Most tokens that one pass over scores, softmax and values takes together.</summary>
    internal const int ItemTokens = 64;

    internal DecodePlan(in KvLayerView view, int queryHeads, in DecodeAttentionOptions options)
    {
        BlockGeometry geometry = view.Geometry;
        QueryHeads = queryHeads;
        KvHeads = geometry.KvHeads;
        GroupHeads = queryHeads / geometry.KvHeads;
        HeadDim = geometry.HeadDim;
        LayerGroup group = view.Group;
        Unpacks = group.ElementType is ElementType.Int8 or ElementType.Fp8E5M2 || group.Form(KvPlane.Key).IsScaled || group.Form(KvPlane.Value).IsScaled
            || !geometry.RowsAreContiguous(KvPlane.Key) || !geometry.RowsAreContiguous(KvPlane.Value);
        Scale = options.SoftmaxScale != 0 ? options.SoftmaxScale : (float)(1 / Math.Sqrt(geometry.HeadDim));

        int window = options.WindowTokens == 0 ? int.MaxValue : options.WindowTokens;
        if (view.Group.Kind == AttentionKind.SlidingWindow)
            window = Math.Min(window, view.Group.WindowTokens);
        EndToken = options.EndToken ?? view.Tokens;
        StartToken = Math.Min(EndToken, Math.Max(options.StartToken, Math.Max(0, view.Tokens - window)));
    }

    internal int QueryHeads { get; }

    internal int KvHeads { get; }

    /// <summary>Query heads that share one kv head.</summary>
    internal int GroupHeads { get; }

    internal int HeadDim { get; }

    internal float Scale { get; }

    /// <summary>Whether rows are unpacked into scratch before they are read: packed codes with scales, a tail, scattered elements.</summary>
    internal bool Unpacks { get; }

    /// <summary>First token that counts, window applied.</summary>
    internal int StartToken { get; }

    /// <summary>Token behind the last that counts; equal to <see cref="StartToken"/> when none does.</summary>
    internal int EndToken { get; }

    /// <summary>The tokens of block <paramref name="block"/> that count, as positions within the block.</summary>
    internal (int First, int End) WithinBlock(int block, int blockTokens) =>
        (Math.Max(0, StartToken - block * blockTokens), Math.Min(blockTokens, EndToken - block * blockTokens));
}
