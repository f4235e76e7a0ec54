using System.Runtime.Intrinsics;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>
/// Softmax attention of one new token over a sequence in a paged cache: the first thing that a decode worker computes on a
/// landed cache. Covers MHA, GQA and MQA, full attention and sliding windows, both orders of rows.
/// </summary>
/// <remarks>
/// <para>Rows of fp32, fp16, bf16 and unscaled FP8 are read in place through the block table; rows with scales, BF16 tails and orders that
/// scatter a row's elements are unpacked to fp32 tile by tile. Logits, softmax and sums are fp32.
/// No byte behind the last visible token is read. A NaN in a visible row makes the output of its query heads NaN.</para>
/// <para>The same inputs give the same bits on one instruction set, wherever the blocks lie. Thread-safe; no managed allocation
/// but for a thread's workspace, which grows with the largest shape that the thread has seen.</para>
/// </remarks>
public static partial class PagedDecodeAttention
{
    /// <summary>Attends with one query token, whose position is the last token of the view.</summary>
    /// <param name="view">The layer of the sequence; the query's own key and value are among its tokens.</param>
    /// <param name="queryHeads">Query heads, a positive multiple of the layer's kv heads; head q reads kv head q / (queryHeads / kvHeads).</param>
    /// <param name="query"><c>[queryHeads][dim]</c>, already rotated.</param>
    /// <param name="options">Scale, window and part of the sequence.</param>
    /// <param name="output"><c>[queryHeads][dim]</c>: the normalised result; zeros when no token is visible.</param>
    /// <param name="logSumExp"><c>[queryHeads]</c>: natural logarithm of the sum of exponentials, minus infinity when no token is
    /// visible. <see cref="SoftmaxState"/> joins parts with it.</param>
    /// <exception cref="ArgumentException">A length or option does not fit the view, or this kernel does not read the group's kind;
    /// the message names both.</exception>
    public static void Run(in KvLayerView view, int queryHeads, ReadOnlySpan<float> query, in DecodeAttentionOptions options,
        Span<float> output, Span<float> logSumExp) =>
        Run(InstructionSet.VectorBits, view, queryHeads, query, options, output, logSumExp);

    /// <summary>The same in at most <paramref name="vectorBits"/> wide vectors; 0 runs the definition.</summary>
    internal static void Run(int vectorBits, in KvLayerView view, int queryHeads, ReadOnlySpan<float> query,
        in DecodeAttentionOptions options, Span<float> output, Span<float> logSumExp)
    {
        Validate(view, queryHeads, query.Length, options, output.Length, logSumExp.Length);
        var plan = new DecodePlan(view, queryHeads, options);
        output.Clear();
        if (plan.StartToken == plan.EndToken)
        {
            logSumExp.Fill(float.NegativeInfinity);
            return;
        }

        switch (view.Group.ElementType)
        {
            case ElementType.Float32: Dispatch<Float32Element>(vectorBits, view, plan, query, output, logSumExp); break;
            case ElementType.Float16: Dispatch<HalfElement>(vectorBits, view, plan, query, output, logSumExp); break;
            case ElementType.BFloat16: Dispatch<BFloat16Element>(vectorBits, view, plan, query, output, logSumExp); break;
            case ElementType.Fp8E4M3: Dispatch<Fp8E4M3Element>(vectorBits, view, plan, query, output, logSumExp); break;
            // Always unpacked, so that the kernel sees fp32.
            default: Dispatch<Float32Element>(vectorBits, view, plan, query, output, logSumExp); break;
        }
    }

    // A row must be whole vectors: a load over its end would read foreign bytes.
    static void Dispatch<TElement>(int vectorBits, in KvLayerView view, in DecodePlan plan, ReadOnlySpan<float> query,
        Span<float> output, Span<float> logSumExp)
        where TElement : IKvElement
    {
        if (vectorBits >= 512 && plan.HeadDim % 16 == 0)
            Vectorized<TElement, Width512, SingleMath512, Vector512<uint>>(view, plan, query, output, logSumExp);
        else if (vectorBits >= 256 && plan.HeadDim % 8 == 0)
            Vectorized<TElement, Width256, SingleMath256, Vector256<uint>>(view, plan, query, output, logSumExp);
        else if (vectorBits >= 128 && plan.HeadDim % 4 == 0)
            Vectorized<TElement, Width128, SingleMath128, Vector128<uint>>(view, plan, query, output, logSumExp);
        else
            Scalar<TElement>(view, plan, query, output, logSumExp);
    }

    static void Validate(in KvLayerView view, int queryHeads, int queryLength, in DecodeAttentionOptions options, int outputLength, int logSumExpLength)
    {
        LayerGroup group = view.Group;
        if (group.Kind == AttentionKind.Latent)
            throw new ArgumentException($"The group is of kind {group.Kind}, which the MLA kernel reads; this one reads {AttentionKind.Full} and {AttentionKind.SlidingWindow}.", nameof(view));
        if (queryHeads <= 0 || queryHeads % group.KvHeads != 0)
            throw new ArgumentException($"{queryHeads} query heads are not a positive multiple of {group.KvHeads} kv heads.", nameof(queryHeads));
        long elements = (long)queryHeads * group.HeadDim;
        if (queryLength != elements)
            throw new ArgumentException($"The query has {queryLength} elements; {queryHeads} heads of {group.HeadDim} are {elements}.", "query");
        if (outputLength != elements)
            throw new ArgumentException($"The output has {outputLength} elements; {queryHeads} heads of {group.HeadDim} are {elements}.", "output");
        if (logSumExpLength != queryHeads)
            throw new ArgumentException($"The log-sum-exp has {logSumExpLength} elements; there are {queryHeads} query heads.", "logSumExp");
        if (!float.IsFinite(options.SoftmaxScale) || options.SoftmaxScale < 0)
            throw new ArgumentException($"The softmax scale is {options.SoftmaxScale}; allowed: 0 or a finite positive number.", nameof(options));
        if (options.WindowTokens < 0)
            throw new ArgumentException($"The window is {options.WindowTokens} tokens; allowed: 0 or more.", nameof(options));
        int end = options.EndToken ?? view.Tokens;
        if (options.StartToken < 0 || end < options.StartToken || end > view.Tokens)
            throw new ArgumentException($"Tokens {options.StartToken}..{end} are not a range of the view's {view.Tokens}.", nameof(options));
    }
}
