using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>What fits beside the weights in a decode node's memory.</summary>
/// <param name="MemoryBytes">Usable.</param>
/// <param name="WeightBytes">Of the model.</param>
internal readonly record struct DecodeCapacity(double MemoryBytes, double WeightBytes)
{
    internal static DecodeCapacity Of(ModelGeometry model, Node node, Precision weights) => new(node.MemoryBytes, PrefillTime.WeightBytes(model.Parameters, weights));

    internal double FreeBytes => Math.Max(0, MemoryBytes - WeightBytes);

    internal bool WeightsFit => WeightBytes <= MemoryBytes;

    /// <summary>Contexts of prompt and output together, not rounded: the mean over time of a long run.</summary>
    internal double Contexts(ModelGeometry model, double promptTokens, double outputTokens, double elementBytes) => FreeBytes / KvSize.Bytes(model, promptTokens + outputTokens, elementBytes);

    /// <summary>Wafers, chips or nodes of this memory that the weights alone need, with a share of each kept free.</summary>
    internal static int PartsFor(double weightBytes, double partBytes, double usableShare) => (int)Math.Ceiling(weightBytes / (partBytes * usableShare));

    /// <summary>
    /// Bytes of caches resident in a decode node by Little's law: from the grant on the prompt's blocks are taken, during decode on average half of the output too.
    /// </summary>
    internal static double ResidentBytes(ModelGeometry model, double requestsPerSecond, double landingSeconds, double decodeSeconds, double promptTokens, double outputTokens, double elementBytes) =>
        requestsPerSecond * (landingSeconds * KvSize.Bytes(model, promptTokens, elementBytes) + decodeSeconds * KvSize.Bytes(model, promptTokens + outputTokens / 2, elementBytes));
}
