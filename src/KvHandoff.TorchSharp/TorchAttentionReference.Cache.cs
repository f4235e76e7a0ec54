using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using TorchSharp;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp;

public static partial class TorchAttentionReference
{
    /// <summary>
    /// The last tokens' attention over one layer of a cache, in the shapes of the library's own kernels: a drop-in second opinion on
    /// them. Rows of every storage form are read as fp32, tails included.
    /// </summary>
    /// <param name="view">The layer of the sequence; a sliding-window group's window holds beside that of the options, the smaller of both.</param>
    /// <param name="queryHeads">Query heads, a positive multiple of the layer's kv heads.</param>
    /// <param name="query"><c>[queryTokens][queryHeads][dim]</c>, already rotated; the last tokens of the view.</param>
    /// <param name="options">Scale, window, cap, sinks and precision.</param>
    /// <param name="output"><c>[queryTokens][queryHeads][dim]</c>; <c>valueDim</c> instead of <c>dim</c> for a latent group.</param>
    /// <param name="logSumExp"><c>[queryTokens][queryHeads]</c>.</param>
    /// <param name="valueDim">Elements of a latent row that are the value; ignored by groups of another kind.</param>
    /// <exception cref="ArgumentException">A length or option does not fit the view; the message names both.</exception>
    public static void Attend(in KvLayerView view, int queryHeads, ReadOnlySpan<float> query, in TorchAttentionOptions options,
        Span<float> output, Span<float> logSumExp, int valueDim = 512)
    {
        LayerGroup group = view.Group;
        bool latent = group.Kind == AttentionKind.Latent;
        if (!latent) valueDim = group.HeadDim;
        long perToken = (long)queryHeads * group.HeadDim;
        if (queryHeads < 1 || query.IsEmpty || query.Length % perToken != 0)
            throw new ArgumentException($"The query has {query.Length} elements; {queryHeads} heads of {group.HeadDim} are {perToken} for each token.", nameof(query));
        if (valueDim < 1 || valueDim > group.HeadDim)
            throw new ArgumentException($"The value is {valueDim} of {group.HeadDim} elements; allowed: 1 to {group.HeadDim}.", nameof(valueDim));
        if (latent && options.SoftmaxScale == 0)
            throw new ArgumentException("The softmax scale is 0; a latent row does not tell it, so it has to be given.", nameof(options));
        int queryTokens = (int)(query.Length / perToken);
        long results = (long)queryTokens * queryHeads;
        if (output.Length != results * valueDim)
            throw new ArgumentException($"The output has {output.Length} elements; {queryTokens} tokens of {queryHeads} heads of {valueDim} are {results * valueDim}.", nameof(output));
        if (logSumExp.Length != results)
            throw new ArgumentException($"The log-sum-exp has {logSumExp.Length} elements; {queryTokens} tokens of {queryHeads} heads are {results}.", nameof(logSumExp));

        int window = options.WindowTokens;
        if (group.Kind == AttentionKind.SlidingWindow) window = window == 0 ? group.WindowTokens : Math.Min(window, group.WindowTokens);
        using DisposeScope scope = NewDisposeScope();
        Tensor keys = TorchCacheTensors.Read(view, KvPlane.Key, ElementType.Float32);
        Tensor values = latent ? keys.narrow(2, 0, valueDim) : TorchCacheTensors.Read(view, KvPlane.Value, ElementType.Float32);
        Tensor rows = tensor(query.ToArray()).reshape(queryTokens, queryHeads, group.HeadDim).transpose(0, 1);
        (Tensor attended, Tensor sums) = Prefill(rows, keys, values, options with { WindowTokens = window });
        CopyTokenMajor(attended, output);
        CopyTokenMajor(sums, logSumExp);
    }

    // [heads][tokens].. to [tokens][heads]..
    private static void CopyTokenMajor(Tensor headMajor, Span<float> destination) =>
        MemoryMarshal.Cast<byte, float>(headMajor.transpose(0, 1).to_type(ScalarType.Float32).contiguous().bytes).CopyTo(destination);
}
