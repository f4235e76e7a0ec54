using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Softmax attention of one or a few new tokens over a sequence in a paged cache: the first thing that a decode worker computes on a
/// landed cache. Covers MHA, GQA and MQA, full attention and sliding windows, every storage form.
/// </summary>
/// <remarks>
/// <para>Rows are read in place through the block table, 8-bit rows with their scales and BF16 tails too; only orders that scatter a row's
/// elements and microscaling groups are unpacked, tile by tile. Logits, softmax and sums are fp32. INT8 rows meet a query of 16 bits and
/// weights of 15 bits relative to the largest of their tile; every other form meets the query as it is given.
/// No byte behind the last visible token is read. A NaN in a visible row makes the output of its query
/// heads NaN. Of several query tokens, a NaN or infinity among the values of a token that only the later ones see may reach the earlier
/// ones too.</para>
/// <para>The same inputs give the same bits on one instruction set, wherever the blocks lie, here and in
/// <see cref="DecodeAttentionBatch"/> on any number of threads. Thread-safe; no managed allocation but for a thread's workspace, which
/// grows with the largest shape that the thread has seen.</para>
/// </remarks>
public static class PagedDecodeAttention
{
    /// <summary>Most query tokens that are worked on at once; more are taken in turns.</summary>
    internal const int TurnTokens = 16;

    /// <summary>Attends with the query tokens at the end of a view, each of which sees the tokens up to its own.</summary>
    /// <param name="view">The layer of the sequence; the queries' own keys and values are among its tokens.</param>
    /// <param name="queryHeads">Query heads, a positive multiple of the layer's kv heads; head q reads kv head q / (queryHeads / kvHeads).</param>
    /// <param name="query"><c>[query token][queryHeads][dim]</c>, already rotated.</param>
    /// <param name="options">Scale, cap, window, sinks, part of the sequence, position of the queries.</param>
    /// <param name="output"><c>[query token][queryHeads][dim]</c>: the normalised result; zeros where no token is visible.</param>
    /// <param name="logSumExp"><c>[query token][queryHeads]</c>: natural logarithm of the sum of exponentials, minus infinity where no
    /// token is visible and there is no sink. <see cref="SoftmaxState"/> joins parts with it.</param>
    /// <exception cref="ArgumentException">A length or option does not fit the view, or this kernel does not read the group's kind;
    /// the message names both.</exception>
    public static void Run(in KvLayerView view, int queryHeads, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp) =>
        Run(KernelTarget.InUse, view, queryHeads, query, options, output, logSumExp);

    /// <summary>The same with chosen kernels.</summary>
    internal static void Run(in KernelTarget target, in KvLayerView view, int queryHeads, ReadOnlySpan<float> query,
        in AttentionOptions options, Span<float> output, Span<float> logSumExp)
    {
        RequireKind(view.Group);
        int dim = view.Group.HeadDim;
        int queryTokens = AttentionPlan.Validate(view.Group, view.Tokens, queryHeads, query.Length, dim, options, output.Length, logSumExp.Length);
        AttentionTurns.Run(target, view, queryHeads, queryTokens, dim, query, options, output, logSumExp);
    }

    internal static void RequireKind(LayerGroup group)
    {
        if (group.Kind == AttentionKind.Latent)
            throw new ArgumentException($"The group is of kind {group.Kind}, which the MLA kernel, {nameof(MlaDecodeAttention)}, reads; this one reads {AttentionKind.Full} and {AttentionKind.SlidingWindow}.", "view");
    }
}
