using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Compares attention over what landed with what the sender's attention gave. It sees what no checksum can: heads or planes exchanged, missing scales,
/// rows of K and V that no longer belong together, a rotary embedding off by one.
/// </summary>
/// <remarks>
/// <para>Attention does not depend on the order of tokens as long as each key stays with its value, so an exchange of whole tokens shows only at the
/// edge of a window; and tokens to which a query gives no weight are not tested by it. Checksums are for these. What rounding may do hides what is smaller: after FP8 a
/// rotary embedding that is off by one can pass on some heads, after a lossless codec it does not.</para>
/// <para>Thread-safe. It reads every sampled layer once per round of queries, see <see cref="PagedDecodeAttention"/> for the rate.</para>
/// </remarks>
public static partial class AttentionCanary
{
    // Floats of one round's queries: a set of 256 pairs needs one round in every model, a hostile one many small ones.
    private const int RoundElements = 1 << 20;

    /// <summary>Checks a whole sequence against the sender's pairs.</summary>
    /// <param name="sequence">What landed, all layers and heads of the model.</param>
    /// <param name="set">The sender's pairs.</param>
    /// <param name="precision">Per layer group of the model, how rows were rounded on the way; one entry counts for all.</param>
    public static CanaryResult Verify(KvSequence sequence, CanarySet set, params ReadOnlySpan<CanaryPrecision> precision)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        ArgumentNullException.ThrowIfNull(set);
        KvCacheLayout model = sequence.Cache.Layout;
        if (Malformed(set, model) is { } malformed) return malformed;
        return set.Tokens > sequence.Capacity
            ? new CanaryResult(CanaryOutcome.NotHeld, $"The canary attends to {set.Tokens} tokens; the sequence has room for {sequence.Capacity}.", [])
            : Compare(model, set, Attend(sequence, set.Tokens, set), precision);
    }

    /// <summary>Attends with the queries of a set to what one receiver holds.</summary>
    /// <param name="sequence">What landed.</param>
    /// <param name="tokens">Tokens of it that have landed in every sampled layer.</param>
    /// <param name="set">The sender's pairs, checked with <see cref="CanarySet.Check"/>.</param>
    /// <param name="model">Layout of the whole model; null: the sequence's own.</param>
    /// <param name="shard">
    /// What of the model the sequence holds: its layer 0 is the shard's first, and so for the kv heads of each group and the tokens; null: all.
    /// </param>
    /// <exception cref="ArgumentException">The set does not fit the model, or the sequence not the shard.</exception>
    public static CanaryStates Attend(KvSequence sequence, int tokens, CanarySet set, KvCacheLayout? model = null, KvShard? shard = null)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        ArgumentNullException.ThrowIfNull(set);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        model ??= sequence.Cache.Layout;
        if (set.Check(model) is { } wrong) throw new ArgumentException(wrong, nameof(set));
        var places = new CanaryPlaces(model, shard, sequence.Cache.Layout);
        var outputs = new float[]?[set.Pairs.Length];
        var logSumExp = new float[set.Pairs.Length];
        Array.Fill(logSumExp, float.NegativeInfinity);
        foreach (IGrouping<int, int> layer in Enumerable.Range(0, set.Pairs.Length).Where(i => places.Holds(set, set.Pairs[i])).GroupBy(i => set.Pairs[i].Layer))
        {
            // The queries of one round: as many for every kv head, those that are missing are zeros.
            LayerGroup group = model.Group(layer.Key);
            int heads = places.KvHeads(layer.Key), most = Math.Max(1, RoundElements / (heads * group.HeadDim));
            var rounds = layer.GroupBy(i => set.KvHead(group, set.Pairs[i])).SelectMany(head => head.Select((pair, at) => (Pair: pair, Round: at / most, At: at % most))).GroupBy(x => x.Round);
            foreach (IGrouping<int, (int Pair, int Round, int At)> round in rounds)
                AttendRound(sequence, tokens, set, places, layer.Key, [.. round.Select(x => (x.Pair, x.At))], outputs, logSumExp);
        }

        return new CanaryStates(outputs, logSumExp);
    }

    /// <summary>Compares joined states with the sender's outputs.</summary>
    /// <param name="model">Layout of the whole model.</param>
    /// <param name="set">The sender's pairs.</param>
    /// <param name="states">What all receivers found, joined with <see cref="CanaryStates.Merge"/>.</param>
    /// <param name="precision">Per layer group, how rows were rounded on the way; one entry counts for all.</param>
    /// <exception cref="ArgumentException">The states are of another set, or the precisions are neither one nor one per group.</exception>
    public static CanaryResult Compare(KvCacheLayout model, CanarySet set, CanaryStates states, params ReadOnlySpan<CanaryPrecision> precision)
    {
        ArgumentNullException.ThrowIfNull(set);
        ArgumentNullException.ThrowIfNull(states);
        if (Malformed(set, model) is { } malformed) return malformed;
        if (precision.Length != 1 && precision.Length != model.Groups.Length)
            throw new ArgumentException($"{precision.Length} precisions were given; the model has {model.Groups.Length} layer groups.", nameof(precision));
        if (states.Count != set.Pairs.Length) throw new ArgumentException($"The states have {states.Count} pairs; the set has {set.Pairs.Length}.", nameof(states));
        var deviations = ImmutableArray.CreateBuilder<CanaryDeviation>(set.Pairs.Length);
        string? missing = null;
        for (int i = 0; i < set.Pairs.Length; i++)
        {
            CanaryPair pair = set.Pairs[i];
            if (states.Outputs[i] is not { } output || output.Length != pair.Output.Length || float.IsNegativeInfinity(states.LogSumExp[i]))
            {
                missing ??= $"No part held the tokens of layer {pair.Layer}, head {pair.Head}.";
                continue;
            }

            float tolerance = CanaryTolerance.Of(precision[precision.Length == 1 ? 0 : model.GroupOf(pair.Layer)], set.IsSeeded);
            deviations.Add(new CanaryDeviation(pair.Layer, pair.Head, Error(output, SinkFactor(pair.Sink, states.LogSumExp[i]), pair.Output.Span), tolerance));
        }

        CanaryDeviation? first = deviations.Where(d => !d.IsWithin).Cast<CanaryDeviation?>().FirstOrDefault();
        return first is { } bad ? new CanaryResult(CanaryOutcome.Deviates, $"The {bad}.", deviations.ToImmutable())
            : missing is not null ? new CanaryResult(CanaryOutcome.NotHeld, missing, deviations.ToImmutable())
            : new CanaryResult(CanaryOutcome.Passed, "", deviations.ToImmutable());
    }

    private static CanaryResult? Malformed(CanarySet set, KvCacheLayout model) =>
        set.Check(model) is { } wrong ? new CanaryResult(CanaryOutcome.Malformed, wrong, []) : null;

    private static void AttendRound(KvSequence sequence, int tokens, CanarySet set, CanaryPlaces places, int layer, (int Pair, int At)[] round, float[]?[] outputs, float[] logSumExp)
    {
        LayerGroup group = places.Model.Group(layer);
        int kvHeads = places.KvHeads(layer), perHead = round.Max(x => x.At) + 1, heads = kvHeads * perHead, dim = group.HeadDim, outputDim = set.OutputDim(group);
        var query = new float[heads * dim];
        var output = new float[heads * outputDim];
        var sums = new float[heads];
        foreach ((int pair, int at) in round)
            set.Pairs[pair].Query.CopyTo(query.AsMemory((places.LocalHead(set, set.Pairs[pair]) * perHead + at) * dim));

        // In the view's own positions; a receiver of later tokens than the query's sees none.
        int start = Math.Max(0, set.FirstToken - places.FirstToken), end = Math.Min(tokens, set.Tokens - places.FirstToken);
        if (end > start)
        {
            KvLayerView view = sequence.View(layer - places.FirstLayer, tokens);
            var options = new AttentionOptions(set.SoftmaxScale, 0, start, end) { LogitCap = set.LogitCap, QueryPosition = set.Tokens - 1 - places.FirstToken };
            if (group.Kind == AttentionKind.Latent) MlaDecodeAttention.Run(view, heads, outputDim, query, options, output, sums);
            else PagedDecodeAttention.Run(view, heads, query, options, output, sums);
        }
        else
        {
            Array.Fill(sums, float.NegativeInfinity);
        }

        foreach ((int pair, int at) in round)
        {
            int row = places.LocalHead(set, set.Pairs[pair]) * perHead + at;
            outputs[pair] = output.AsSpan(row * outputDim, outputDim).ToArray();
            logSumExp[pair] = sums[row];
        }
    }

    // A sink takes part of the weight and adds nothing to the output.
    internal static double SinkFactor(float? sink, float logSumExp) => sink is { } logit ? 1 / (1 + Math.Exp((double)logit - logSumExp)) : 1;

    internal static float Error(ReadOnlySpan<float> actual, double factor, ReadOnlySpan<float> expected)
    {
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double d = actual[i] * factor - expected[i];
            difference += d * d;
            norm += (double)expected[i] * expected[i];
        }

        if (double.IsNaN(difference)) return float.PositiveInfinity;
        return difference == 0 ? 0 : norm == 0 ? float.PositiveInfinity : (float)Math.Sqrt(difference / norm);
    }
}
