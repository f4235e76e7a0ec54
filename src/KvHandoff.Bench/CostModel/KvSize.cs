using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>Bytes of K and V. Grouped attention keeps 2 x kv heads x head dim elements per token and layer, latent attention one vector, a window no more than itself.</summary>
internal static class KvSize
{
    internal const double Bf16Bytes = 2, Fp8Bytes = 1;

    /// <summary>What one token in the middle of a short prompt adds.</summary>
    internal static double BytesPerToken(ModelGeometry model, double elementBytes) => model.Layers.Sum(l => l.Count * l.ElementsPerToken) * elementBytes;

    /// <summary>What a sequence of this many tokens keeps.</summary>
    internal static double Bytes(ModelGeometry model, double tokens, double elementBytes)
    {
        double elements = 0;
        foreach (LayerGeometry l in model.Layers) elements += (double)l.Count * l.ElementsPerToken * Math.Min(tokens, l.WindowTokens);
        return elements * elementBytes;
    }

    /// <summary>Most tokens of one sequence that fit.</summary>
    internal static double TokensIn(ModelGeometry model, double bytes, double elementBytes)
    {
        if (bytes <= 0) return 0;
        double low = 0, high = bytes / elementBytes;
        // The slope only falls, at each window: bisection is exact enough and has no cases.
        for (int i = 0; i < 200; i++)
        {
            double middle = (low + high) / 2;
            if (Bytes(model, middle, elementBytes) <= bytes) low = middle;
            else high = middle;
        }

        return low;
    }
}
