using System.Globalization;
using KvHandoff.Attention;
using KvHandoff.Bench.Kernels;
using KvHandoff.Layout;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>One decode step that is measured: one new token over one layer of one sequence.</summary>
internal sealed record AttentionCase(AttentionShape Shape, StoredKind Stored, int Tokens, int Threads = 1, SoftmaxWeights Weights = SoftmaxWeights.Float32)
{
    /// <summary>What names begin with.</summary>
    internal const string Kernel = "attention";

    private const int Kilo = 1024;

    /// <summary>Such as <c>attention bf16 64/8/128 64K 1 thread</c>; who computes it is not part of it.</summary>
    internal string Name => string.Create(CultureInfo.InvariantCulture,
        $"{Subject} {Threads} thread{(Threads == 1 ? "" : "s")}{(Weights == SoftmaxWeights.BFloat16 ? ", bf16 weights" : "")}");

    /// <summary>The name without the threads.</summary>
    internal string Subject => $"{Kernel} {Stored.Name} {Shape.Name} {Length}";

    internal string Length => Tokens % Kilo == 0 ? string.Create(CultureInfo.InvariantCulture, $"{Tokens / Kilo}K") : string.Create(CultureInfo.InvariantCulture, $"{Tokens} tokens");

    internal LayerGroup Group => Stored.Of(Shape.Group);

    /// <summary>Bytes of the cache that the step reads, scales included.</summary>
    internal long Bytes => BlockRows.LayoutOf(Group).BytesForTokens(Tokens);

    internal long MultiplyAdds => Shape.MultiplyAddsPerToken * Tokens;
}
