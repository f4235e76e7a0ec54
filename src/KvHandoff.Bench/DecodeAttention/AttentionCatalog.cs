using KvHandoff.Attention;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>What the quick run measures. The BenchmarkDotNet suite has every combination.</summary>
internal static class AttentionCatalog
{
    internal const int LongTokens = 65536;

    // Not a whole tile: 8-bit rows end in a BF16 tail here.
    private const int RaggedTokens = LongTokens - 27;

    /// <summary>The lengths of the suite.</summary>
    internal static IReadOnlyList<int> Lengths { get; } = [1024, 8192, LongTokens];

    /// <summary>In the order in which results list them; those of one cache follow each other.</summary>
    internal static IReadOnlyList<AttentionCase> Quick { get; } = [.. All()];

    /// <summary>The step that others are compared with: the same one over BF16 rows.</summary>
    internal static AttentionCase Yardstick(AttentionCase step) => step with { Stored = StoredKind.BFloat16, Weights = SoftmaxWeights.Float32 };

    private static IEnumerable<AttentionCase> All()
    {
        foreach (StoredKind stored in StoredKind.All)
        {
            var step = new AttentionCase(AttentionShape.Grouped8, stored, LongTokens);
            if (stored == StoredKind.BFloat16)
            {
                foreach (int tokens in Lengths.Where(t => t != LongTokens)) yield return step with { Tokens = tokens };
            }

            yield return step;
            bool isCommon = stored == StoredKind.BFloat16 || stored == StoredKind.Fp8TokenHead || stored == StoredKind.Int8;
            if (!isCommon) continue;
            if (stored == StoredKind.BFloat16 && RoundsWeights) yield return step with { Weights = SoftmaxWeights.BFloat16 };
            yield return step with { Threads = 2 };
        }

        yield return new AttentionCase(AttentionShape.Grouped8, StoredKind.Int8, RaggedTokens);
        yield return new AttentionCase(AttentionShape.Grouped4, StoredKind.BFloat16, LongTokens);
        var latent = new AttentionCase(AttentionShape.Latent, StoredKind.BFloat16, LongTokens);
        yield return latent;
        if (RoundsWeights) yield return latent with { Weights = SoftmaxWeights.BFloat16 };
    }

    /// <summary>Whether the native target in use has instructions for BF16 weights; elsewhere asking for them changes nothing.</summary>
    private static bool RoundsWeights => AttentionKernels.InUse == "native avx512bf16";
}
