using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>
/// One decode step of a batch: the largest of a floor (layers x seconds per layer), reading weights and caches, and computing. Wafers are bound by the floor:
/// they use under 2 % of their memory's bandwidth, so a floor that was measured is worth more than any bandwidth.
/// </summary>
/// <param name="FloorSeconds">However small the batch.</param>
/// <param name="WeightSeconds">Reading the weights that a batch of one touches.</param>
/// <param name="AllWeightSeconds">Reading every weight, as a batch touches that chooses all experts.</param>
/// <param name="BytesPerSecond">Of memory.</param>
/// <param name="ComputeSeconds">Per sequence of the batch.</param>
internal readonly record struct DecodeTime(double FloorSeconds, double WeightSeconds, double AllWeightSeconds, double BytesPerSecond, double ComputeSeconds)
{
    internal static DecodeTime Of(ModelGeometry model, Node node, Precision weights)
    {
        double read = PrefillTime.WeightBytes(model.LinearParameters, weights) / node.MemoryBytesPerSecond, all = PrefillTime.WeightBytes(model.Parameters, weights) / node.MemoryBytesPerSecond;
        return new DecodeTime(node.DecodeLayerSeconds * model.LayerCount, read, Math.Max(read, all), node.MemoryBytesPerSecond, 2 * model.LinearParameters / node.EffectiveFlops(weights, 1));
    }

    /// <summary>Seconds of a step for a batch whose caches have this many bytes in all.</summary>
    internal double StepSeconds(double batch, double cacheBytes) => Math.Max(FloorSeconds, Math.Max(WeightReadSeconds(batch) + cacheBytes / BytesPerSecond, batch * ComputeSeconds));

    internal double WeightReadSeconds(double batch) => Math.Min(AllWeightSeconds, WeightSeconds * Math.Max(1, batch));
}
