using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>A query of one head and what attention gave the sender for it.</summary>
/// <param name="Layer">Layer of the whole model.</param>
/// <param name="Head">Query head of the whole model; a kv head in a seeded set.</param>
/// <param name="Query"><c>[head dim]</c>, rotated and not scaled; of a latent group the absorbed query, as long as the row.</param>
/// <param name="Output"><c>[head dim]</c>, of a latent group <c>[latent dim]</c>: the normalised result.</param>
public sealed record CanaryPair(int Layer, int Head, ReadOnlyMemory<float> Query, ReadOnlyMemory<float> Output)
{
    /// <summary>Logit of the head's attention sink, where it has one.</summary>
    public float? Sink { get; init; }

    /// <summary>Of a seeded pair: the factor of the query that the sender chose.</summary>
    internal float Factor { get; init; }

    /// <summary>Of a seeded pair: per element the power of two that its keys are about as large as.</summary>
    internal ReadOnlyMemory<sbyte> Exponents { get; init; }
}

/// <summary>
/// Queries with their attention outputs, by which a receiver sees whether what landed attends as what was sent: heads, scales, order and rotary
/// embedding included, which no checksum knows. Either the engine's own pairs for one query token, or seeded ones
/// (<see cref="AttentionCanary.CreateSeeded"/>).
/// </summary>
/// <remarks>Immutable as long as the memory that was passed is not changed.</remarks>
public sealed record CanarySet
{
    /// <summary>Most pairs.</summary>
    public const int MaxPairs = 256;

    /// <summary>Most query heads of a layer.</summary>
    public const int MaxQueryHeads = 65_536;

    /// <summary>Longest sequence.</summary>
    public const int MaxTokens = 2_097_152;

    /// <summary>The pairs, 1 to 256.</summary>
    public required ImmutableArray<CanaryPair> Pairs { get; init; }

    /// <summary>Query heads of every sampled layer; head q reads kv head q / (query heads / kv heads). 0 in a seeded set, whose heads are kv heads.</summary>
    public int QueryHeads { get; init; }

    /// <summary>Token behind the last that the queries see: they belong to token <c>Tokens - 1</c>.</summary>
    public required int Tokens { get; init; }

    /// <summary>First token that they attend to: 0, or the first that a sender of a seeded set holds.</summary>
    public int FirstToken { get; init; }

    /// <summary>Leading elements of a latent row that are its value; 0 where no sampled layer is latent.</summary>
    public int LatentDim { get; init; }

    /// <summary>Factor of the logits; 0 stands for 1 / sqrt(head dimension), and is not allowed for a latent layer.</summary>
    public float SoftmaxScale { get; init; }

    /// <summary>Soft cap of the logits; 0 for none.</summary>
    public float LogitCap { get; init; }

    /// <summary>Whether queries follow from the handoff's id rather than from the engine.</summary>
    public bool IsSeeded => QueryHeads == 0;

    /// <summary>Null when the set fits a model, else what does not, with both values. A set that came from a peer is checked before use.</summary>
    public string? Check(KvCacheLayout model)
    {
        ArgumentNullException.ThrowIfNull(model);
        int count = Pairs.IsDefault ? 0 : Pairs.Length;
        if (count is < 1 or > MaxPairs) return $"The canary has {count} pairs; allowed: 1 to {MaxPairs}.";
        if (QueryHeads is < 0 or > MaxQueryHeads) return $"The canary has {QueryHeads} query heads; allowed: 0 to {MaxQueryHeads}.";
        if (Tokens is < 1 or > MaxTokens || FirstToken < 0 || FirstToken >= Tokens) return $"The canary attends to tokens {FirstToken}..{Tokens}; allowed: a range in 0..{MaxTokens}.";
        if (!InRange(SoftmaxScale) || !InRange(LogitCap)) return $"The canary's softmax scale is {SoftmaxScale} and its logit cap {LogitCap}; allowed: 0 or 1e-30 to 1e30.";
        for (int i = 0; i < count; i++)
        {
            if (CheckPair(model, Pairs[i]) is { } wrong) return $"Pair {i} of the canary: {wrong}.";
        }

        return null;
    }

    /// <summary>The kv head that a pair's query reads.</summary>
    internal int KvHead(LayerGroup group, CanaryPair pair) => IsSeeded ? pair.Head : pair.Head / (QueryHeads / group.KvHeads);

    /// <summary>Elements of a pair's output.</summary>
    internal int OutputDim(LayerGroup group) => group.Kind == AttentionKind.Latent ? LatentDim : group.HeadDim;

    private string? CheckPair(KvCacheLayout model, CanaryPair pair)
    {
        if (pair.Layer < 0 || pair.Layer >= model.LayerCount) return $"layer {pair.Layer}; the model has {model.LayerCount}";
        LayerGroup group = model.Group(pair.Layer);
        int heads = IsSeeded ? group.KvHeads : QueryHeads;
        if (heads % group.KvHeads != 0) return $"{heads} query heads are no multiple of the {group.KvHeads} kv heads of layer {pair.Layer}";
        if (pair.Head < 0 || pair.Head >= heads) return $"head {pair.Head}; layer {pair.Layer} has {heads}";
        bool latent = group.Kind == AttentionKind.Latent;
        if (latent && (LatentDim < 1 || LatentDim > group.HeadDim)) return $"a latent of {LatentDim} elements; the rows of layer {pair.Layer} have {group.HeadDim}";
        if (latent && SoftmaxScale == 0) return $"no softmax scale; the latent rows of layer {pair.Layer} do not tell the model's";
        if (pair.Query.Length != group.HeadDim) return $"a query of {pair.Query.Length} elements; the rows of layer {pair.Layer} have {group.HeadDim}";
        if (pair.Output.Length != OutputDim(group)) return $"an output of {pair.Output.Length} elements; layer {pair.Layer} gives {OutputDim(group)}";
        foreach (float x in pair.Query.Span)
        {
            if (!float.IsFinite(x)) return $"the query has an element of {x}";
        }

        foreach (float x in pair.Output.Span)
        {
            if (!float.IsFinite(x)) return $"the output has an element of {x}";
        }

        return pair.Sink is { } sink && !float.IsFinite(sink) ? $"a sink of {sink}" : null;
    }

    private static bool InRange(float factor) => factor == 0 || factor is >= 1e-30f and <= 1e30f;
}
