using TorchSharp;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp;

/// <summary>
/// Attention by matrix product and softmax, written for comparison and not for speed: every logit is in memory at once. It needs no
/// fused operator, so that old and new versions of libtorch compute the same.
/// </summary>
/// <remarks>
/// Inputs of any floating-point type are widened to the precision of <see cref="TorchAttentionOptions"/>. The results belong to the caller,
/// or to the caller's dispose scope if there is one. Thread-safe.
/// </remarks>
public static partial class TorchAttentionReference
{
    /// <summary>MHA, GQA or MQA with one query token, the last of the sequence.</summary>
    /// <param name="query"><c>[queryHeads][dim]</c>, already rotated; head q reads kv head q / (queryHeads / kvHeads).</param>
    /// <param name="keys"><c>[kvHeads][tokens][dim]</c>.</param>
    /// <param name="values"><c>[kvHeads][tokens][valueDim]</c>.</param>
    /// <param name="options">Scale, window, cap, sinks and precision.</param>
    /// <returns><c>[queryHeads][valueDim]</c>, and the natural logarithm of each head's sum of exponentials, <c>[queryHeads]</c>.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit each other; the message names both.</exception>
    public static (Tensor Output, Tensor LogSumExp) Decode(Tensor query, Tensor keys, Tensor values, in TorchAttentionOptions options = default)
    {
        RequireDimensions(query, 2, "[queryHeads][dim]", nameof(query));
        using DisposeScope scope = NewDisposeScope();
        (Tensor output, Tensor logSumExp) = Prefill(query.unsqueeze(1), keys, values, options);
        return (output.squeeze(1).MoveToOuterDisposeScope(), logSumExp.squeeze(1).MoveToOuterDisposeScope());
    }

    /// <summary>
    /// MLA with one query token in the absorbed form: all heads share one row per token, whose first elements are also the value.
    /// </summary>
    /// <param name="query"><c>[heads][latent + rope]</c>: the query times the key's up-projection, then its rotated part.</param>
    /// <param name="latent"><c>[tokens][latent + rope]</c>.</param>
    /// <param name="options">As for <see cref="Decode"/>; the softmax scale has to be given.</param>
    /// <param name="valueDim">Elements of a row that are the value: the latent dimension.</param>
    /// <returns><c>[heads][valueDim]</c>, not yet projected up, and <c>[heads]</c>.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit each other, or there is no scale.</exception>
    public static (Tensor Output, Tensor LogSumExp) DecodeLatent(Tensor query, Tensor latent, in TorchAttentionOptions options, int valueDim = 512)
    {
        RequireDimensions(query, 2, "[heads][latent + rope]", nameof(query));
        RequireDimensions(latent, 2, "[tokens][latent + rope]", nameof(latent));
        if (valueDim < 1 || valueDim > latent.shape[1])
            throw new ArgumentException($"The value is {valueDim} of {latent.shape[1]} elements; allowed: 1 to {latent.shape[1]}.", nameof(valueDim));
        if (options.SoftmaxScale == 0)
            throw new ArgumentException("The softmax scale is 0; a latent row does not tell it, so it has to be given.", nameof(options));
        using DisposeScope scope = NewDisposeScope();
        Tensor keys = latent.unsqueeze(0);
        (Tensor output, Tensor logSumExp) = Decode(query, keys, keys.narrow(2, 0, valueDim), options);
        return (output.MoveToOuterDisposeScope(), logSumExp.MoveToOuterDisposeScope());
    }

    /// <summary>Causal attention of the last tokens of a sequence: each query sees the tokens up to its own.</summary>
    /// <param name="query"><c>[queryHeads][queryTokens][dim]</c>, already rotated; the last <c>queryTokens</c> of the keys' tokens.</param>
    /// <param name="keys"><c>[kvHeads][tokens][dim]</c>, those of the query tokens among them.</param>
    /// <param name="values"><c>[kvHeads][tokens][valueDim]</c>.</param>
    /// <param name="options">Scale, window, cap, sinks and precision.</param>
    /// <returns><c>[queryHeads][queryTokens][valueDim]</c> and <c>[queryHeads][queryTokens]</c>.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit each other; the message names both.</exception>
    public static (Tensor Output, Tensor LogSumExp) Prefill(Tensor query, Tensor keys, Tensor values, in TorchAttentionOptions options = default)
    {
        ValidateShapes(query, keys, values);
        long queryHeads = query.shape[0], queryTokens = query.shape[1], dim = query.shape[2];
        long kvHeads = keys.shape[0], tokens = keys.shape[1], valueDim = values.shape[2];
        options.Validate((int)queryHeads);
        ScalarType type = options.DoublePrecision ? ScalarType.Float64 : ScalarType.Float32;

        using DisposeScope scope = NewDisposeScope();
        // Query heads of one kv head are neighbours, so they become more rows of one product.
        Tensor rows = query.to_type(type).reshape(kvHeads, queryHeads / kvHeads * queryTokens, dim);
        Tensor logits = rows.matmul(keys.to_type(type).transpose(1, 2)).reshape(queryHeads, queryTokens, tokens);
        logits = logits.mul(options.SoftmaxScale != 0 ? options.SoftmaxScale : 1 / Math.Sqrt(dim));
        if (options.LogitCap > 0) logits = logits.div(options.LogitCap).tanh().mul(options.LogitCap);
        logits = logits.masked_fill(Hidden(queryTokens, tokens, options.WindowTokens), float.NegativeInfinity);
        if (!options.Sinks.IsEmpty)
        {
            Tensor sinks = tensor(options.Sinks.ToArray()).to_type(type).reshape(queryHeads, 1, 1).expand(queryHeads, queryTokens, 1);
            logits = cat(new[] { logits, sinks }, dim: 2);
        }

        // A sink takes its share of the softmax and has no value.
        Tensor weights = logits.softmax(2).narrow(2, 0, tokens).reshape(kvHeads, queryHeads / kvHeads * queryTokens, tokens);
        Tensor output = weights.matmul(values.to_type(type)).reshape(queryHeads, queryTokens, valueDim);
        return (output.MoveToOuterDisposeScope(), logits.logsumexp(2).MoveToOuterDisposeScope());
    }

    // [queryTokens][tokens]: true where a query does not see a token.
    private static Tensor Hidden(long queryTokens, long tokens, int windowTokens)
    {
        Tensor queries = arange(tokens - queryTokens, tokens, ScalarType.Int64).unsqueeze(1), positions = arange(tokens, ScalarType.Int64).unsqueeze(0);
        Tensor hidden = positions.gt(queries);
        return windowTokens == 0 ? hidden : hidden.logical_or(positions.le(queries.sub(windowTokens)));
    }

    private static void ValidateShapes(Tensor query, Tensor keys, Tensor values)
    {
        RequireDimensions(query, 3, "[queryHeads][queryTokens][dim]", nameof(query));
        RequireDimensions(keys, 3, "[kvHeads][tokens][dim]", nameof(keys));
        RequireDimensions(values, 3, "[kvHeads][tokens][valueDim]", nameof(values));
        long queryHeads = query.shape[0], kvHeads = keys.shape[0], tokens = keys.shape[1];
        if (kvHeads < 1 || queryHeads < 1 || queryHeads % kvHeads != 0)
            throw new ArgumentException($"{queryHeads} query heads are not a positive multiple of {kvHeads} kv heads.", nameof(query));
        if (query.shape[2] != keys.shape[2])
            throw new ArgumentException($"A query row has {query.shape[2]} elements and a key row {keys.shape[2]}.", nameof(query));
        if (query.shape[1] < 1 || query.shape[1] > tokens)
            throw new ArgumentException($"{query.shape[1]} query tokens cannot be the last of {tokens}; allowed: 1 to {tokens}.", nameof(query));
        if (values.shape[0] != kvHeads || values.shape[1] != tokens)
            throw new ArgumentException($"Values are of {values.shape[0]} heads and {values.shape[1]} tokens, keys of {kvHeads} and {tokens}.", nameof(values));
    }

    private static void RequireDimensions(Tensor tensor, int dimensions, string meaning, string name)
    {
        if (tensor.dim() != dimensions) throw new ArgumentException($"The tensor has {tensor.dim()} dimensions; it should have {dimensions}: {meaning}.", name);
    }
}
