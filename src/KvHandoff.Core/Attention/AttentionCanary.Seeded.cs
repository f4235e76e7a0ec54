using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

public static partial class AttentionCanary
{
    /// <summary>
    /// Layers and kv heads to test: evenly spread over the layers, the first and the last among them, with the heads in turn.
    /// </summary>
    /// <param name="model">Layout of the whole model.</param>
    /// <param name="pairs">How many, 1 to 256; fewer when the model has fewer.</param>
    public static ImmutableArray<(int Layer, int KvHead)> Sample(KvCacheLayout model, int pairs)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (pairs is < 1 or > CanarySet.MaxPairs) throw new ArgumentOutOfRangeException(nameof(pairs), pairs, $"1 to {CanarySet.MaxPairs} pairs are sampled.");
        var sample = new SortedSet<(int, int)>();
        int layers = model.LayerCount;
        for (int i = 0; i < pairs; i++)
        {
            // More pairs than layers: layer after layer, the next head in each turn.
            int layer = pairs > layers ? i % layers : pairs == 1 ? layers / 2 : (int)((long)i * (layers - 1) / (pairs - 1));
            int head = pairs > layers ? i / layers + layer : i;
            if (pairs > layers && i / layers >= model.Group(layer).KvHeads) continue;
            sample.Add((layer, head % model.Group(layer).KvHeads));
        }

        return [.. sample];
    }

    /// <summary>
    /// Makes a set whose queries follow from the handoff's id: for a sender whose engine gives none. It tests plan, transcoding and placement; what the
    /// engine itself did wrong, such as a rotation, is on both sides alike.
    /// </summary>
    /// <param name="sequence">The sender's sequence.</param>
    /// <param name="tokens">Tokens of it that are handed over, complete in every sampled layer; 1 or more.</param>
    /// <param name="handoffId">Id of the handoff.</param>
    /// <param name="sample">Layers and kv heads of the whole model, 1 to 256; those that the sender does not hold are left out.</param>
    /// <param name="model">Layout of the whole model; null: the sequence's own.</param>
    /// <param name="shard">What of the model the sequence holds, see <see cref="Attend"/>; null: all.</param>
    /// <returns>The set, without heads whose rows have a NaN or infinity, which cannot be compared; null when nothing is left.</returns>
    public static CanarySet? CreateSeeded(KvSequence sequence, int tokens, Guid handoffId, ReadOnlySpan<(int Layer, int KvHead)> sample, KvCacheLayout? model = null, KvShard? shard = null)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(tokens);
        if (sample.Length is < 1 or > CanarySet.MaxPairs) throw new ArgumentException($"{sample.Length} pairs are asked for; allowed: 1 to {CanarySet.MaxPairs}.", nameof(sample));
        model ??= sequence.Cache.Layout;
        var places = new CanaryPlaces(model, shard, sequence.Cache.Layout);
        // A latent row whole, for its rotated part is to be compared too; as far as all latent groups have it.
        int latent = 0;
        foreach (LayerGroup group in model.Groups)
        {
            if (group.Kind == AttentionKind.Latent) latent = latent == 0 ? group.HeadDim : Math.Min(latent, group.HeadDim);
        }

        float scale = latent == 0 ? 0 : 1 / MathF.Sqrt(latent);
        var set = new CanarySet { Pairs = [], Tokens = places.FirstToken + tokens, FirstToken = places.FirstToken, LatentDim = latent, SoftmaxScale = scale };
        var pairs = ImmutableArray.CreateBuilder<CanaryPair>(sample.Length);
        foreach ((int layer, int head) in sample)
        {
            LayerGroup group = model.Group(layer);
            if (head < 0 || head >= group.KvHeads) throw new ArgumentException($"Kv head {head} of layer {layer} is asked for; it has {group.KvHeads}.", nameof(sample));
            var pair = new CanaryPair(layer, head, default, default);
            if (!places.Holds(set, pair)) continue;
            // A window's queries see its tokens only.
            int first = group.Kind == AttentionKind.SlidingWindow ? Math.Max(0, tokens - group.WindowTokens) : 0;
            KvLayerView view = sequence.View(layer - places.FirstLayer, tokens);
            (float factor, sbyte[] exponents) = SeededQuery.Fit(view, places.LocalHead(set, pair), first, tokens, scale != 0 ? scale : 1 / MathF.Sqrt(group.HeadDim), handoffId, layer, head);
            float[] query = SeededQuery.Derive(handoffId, layer, head, factor, exponents);
            pairs.Add(pair with { Query = query, Output = new float[set.OutputDim(group)], Factor = factor, Exponents = exponents });
        }

        if (pairs.Count == 0) return null;
        set = set with { Pairs = pairs.ToImmutable() };
        CanaryStates own = Attend(sequence, tokens, set, model, shard);
        pairs.Clear();
        for (int i = 0; i < set.Pairs.Length; i++)
        {
            if (own.Outputs[i] is { } output && output.All(float.IsFinite)) pairs.Add(set.Pairs[i] with { Output = output });
        }

        return pairs.Count == 0 ? null : set with { Pairs = pairs.ToImmutable() };
    }
}
