using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>
/// Time to compute a prompt: F(N) = a N + b N^2 operations, a = 2 x weights that one token multiplies with, b = query heads x (query/key dim + value dim) x
/// layers (causal: half of N^2 pairs, 2 operations each); over the operations per second that the node reaches, never less than reading the weights once.
/// </summary>
internal static class PrefillTime
{
    /// <summary>Operations of tokens <paramref name="from"/> to <paramref name="to"/> of one prompt.</summary>
    internal static double Flops(ModelGeometry model, double from, double to)
    {
        double flops = 2 * model.LinearParameters * (to - from);
        foreach (LayerGeometry l in model.Layers) flops += 2.0 * l.Count * l.QueryHeads * (l.QkDim + l.VDim) * (Pairs(to, l.WindowTokens) - Pairs(from, l.WindowTokens));
        return flops;
    }

    internal static double Flops(ModelGeometry model, double tokens) => Flops(model, 0, tokens);

    /// <summary>Prompt length at which attention costs as much as everything else.</summary>
    internal static double BalanceTokens(ModelGeometry model) =>
        2 * model.LinearParameters / model.Layers.Where(l => l.Kind != AttentionKind.Sliding).Sum(l => (double)l.Count * l.QueryHeads * (l.QkDim + l.VDim));

    /// <summary>Seconds for the tokens behind a prefix that is cached already.</summary>
    internal static double Seconds(ModelGeometry model, Node node, Precision precision, double tokens, double cachedTokens = 0)
    {
        if (tokens <= cachedTokens) return node.PrefillFloorSeconds;
        double compute = Flops(model, cachedTokens, tokens) / node.EffectiveFlops(precision, tokens - cachedTokens);
        return node.PrefillFloorSeconds + Math.Max(compute, WeightBytes(model.LinearParameters, precision) / node.MemoryBytesPerSecond);
    }

    internal static double WeightBytes(double parameters, Precision precision) => parameters * precision switch { Precision.Fp8 => 1, Precision.Int4 => 0.5, _ => 2 };

    // Query and key pairs of a causal window, without the half token of the diagonal.
    private static double Pairs(double tokens, double window)
    {
        double within = Math.Min(tokens, window);
        return within * within / 2 + (tokens - within) * within;
    }
}
