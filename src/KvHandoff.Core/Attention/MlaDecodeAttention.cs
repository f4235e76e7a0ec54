using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Multi-head latent attention in DeepSeek's absorbed form: all query heads share one latent vector per token, whose first part is also
/// the value (512 + 64 elements for DeepSeek-V3: 512 latent, 64 of the rotated key).
/// </summary>
/// <remarks>What <see cref="PagedDecodeAttention"/> says about precision, NaN, threads and allocation holds here too.</remarks>
public static class MlaDecodeAttention
{
    /// <summary>Attends with the query tokens at the end of a view, each of which sees the tokens up to its own.</summary>
    /// <param name="view">A layer of a latent group; the queries' own latents are among its tokens.</param>
    /// <param name="heads">Query heads.</param>
    /// <param name="latentDim">Leading elements of a row that are its value: 1 to the row's elements.</param>
    /// <param name="query"><c>[query token][heads][row elements]</c>: absorbed into the latent space, rotated part last.</param>
    /// <param name="options">As for decode attention. The softmax scale must be given: the model's is 1 / sqrt(128 + 64), not that of the row.</param>
    /// <param name="output"><c>[query token][heads][latentDim]</c>: the normalised result in the latent space; zeros where no token is visible.</param>
    /// <param name="logSumExp"><c>[query token][heads]</c>: natural logarithm of the sum of exponentials.</param>
    /// <exception cref="ArgumentException">A length or option does not fit the view, or the group is not latent; the message names both.</exception>
    public static void Run(in KvLayerView view, int heads, int latentDim, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp) =>
        Run(KernelTarget.InUse, view, heads, latentDim, query, options, output, logSumExp);

    /// <summary>The same with chosen kernels.</summary>
    internal static void Run(in KernelTarget target, in KvLayerView view, int heads, int latentDim, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp)
    {
        RequireLatent(view.Group, latentDim, options);
        int queryTokens = AttentionPlan.Validate(view.Group, view.Tokens, heads, query.Length, latentDim, options, output.Length, logSumExp.Length);
        AttentionTurns.Run(target, view, heads, queryTokens, latentDim, query, options, output, logSumExp);
    }

    internal static void RequireLatent(LayerGroup group, int latentDim, in AttentionOptions options)
    {
        if (group.Kind != AttentionKind.Latent)
            throw new ArgumentException($"The group is of kind {group.Kind}, which {nameof(PagedDecodeAttention)} reads; this one reads {AttentionKind.Latent}.", "view");
        if (latentDim < 1 || latentDim > group.HeadDim)
            throw new ArgumentException($"The latent has {latentDim} elements; allowed: 1 to the row's {group.HeadDim}.", nameof(latentDim));
        if (options.SoftmaxScale == 0)
            throw new ArgumentException("The softmax scale is 0; a latent row does not tell the model's, so it has to be given.", nameof(options));
    }
}
