using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>A prompt whose beginning was computed before: fetching K and V of it against computing them again.</summary>
internal static class PrefixReuse
{
    /// <summary>
    /// Bytes per second from which a cached prefix is fetched faster than it is computed (Mooncake, FAST'25, equation 2): G x 2 d s / (gqa (a p d + b d^2)) with
    /// hidden size d, element bytes s, query heads per kv head gqa, prefix length p; a = 4 and b = 22 count a Llama layer's operations.
    /// </summary>
    internal static double LeastBytesPerSecond(double flops, double hidden, double elementBytes, double groupSize, double prefixTokens, double attentionFactor = 4, double linearFactor = 22) =>
        flops * 2 * hidden * elementBytes / (groupSize * (attentionFactor * prefixTokens * hidden + linearFactor * hidden * hidden));

    /// <summary>Share of a prompt's operations that a cached prefix saves.</summary>
    internal static double SavedShare(ModelGeometry model, double tokens, double cachedTokens) => PrefillTime.Flops(model, cachedTokens) / PrefillTime.Flops(model, tokens);
}

/// <summary>A handoff cut into pages of the layers of one pipeline stage, as benchmarks of transfer engines count them.</summary>
internal static class KvPages
{
    /// <summary>Bytes of one operation: a page of tokens, over the layers of one stage.</summary>
    internal static double Bytes(ModelGeometry model, double elementBytes, int pageTokens, int pipelineStages) =>
        KvSize.BytesPerToken(model, elementBytes) / model.LayerCount * pageTokens * LayersPerStage(model, pipelineStages);

    /// <summary>Operations of several requests together.</summary>
    internal static long Count(ModelGeometry model, int requests, int tokens, int pageTokens, int pipelineStages) =>
        (long)Math.Ceiling((double)requests * tokens / pageTokens * model.LayerCount / LayersPerStage(model, pipelineStages));

    private static int LayersPerStage(ModelGeometry model, int pipelineStages) => (model.LayerCount + pipelineStages - 1) / pipelineStages;
}
