using KvHandoff.Layout;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>Heads of an attention layer.</summary>
/// <param name="Name">As results name it.</param>
/// <param name="QueryHeads">Query heads.</param>
/// <param name="KvHeads">Kv heads; 1 for a latent.</param>
/// <param name="RowElements">Elements of a key, or of the one row that a latent layer stores per token.</param>
/// <param name="LatentElements">Of these the ones that are the value too; 0 where keys and values are stored apart.</param>
internal sealed record AttentionShape(string Name, int QueryHeads, int KvHeads, int RowElements, int LatentElements = 0)
{
    // The heads that DeepSeek-V3's softmax scale belongs to, before absorption.
    private const int LatentHeadDim = 128 + 64;

    /// <summary>8 query heads share a kv head: Llama 3 70B.</summary>
    internal static AttentionShape Grouped8 { get; } = new("64/8/128", 64, 8, 128);

    /// <summary>4 query heads share a kv head: Llama 3 8B.</summary>
    internal static AttentionShape Grouped4 { get; } = new("32/8/128", 32, 8, 128);

    /// <summary>All 128 heads share one latent row of 512 + 64: DeepSeek-V3.</summary>
    internal static AttentionShape Latent { get; } = new("MLA 128 heads", 128, 1, 576, 512);

    internal static IReadOnlyList<AttentionShape> All { get; } = [Grouped8, Grouped4, Latent];

    internal bool IsLatent => LatentElements != 0;

    internal int ValueElements => IsLatent ? LatentElements : RowElements;

    internal float SoftmaxScale => (float)(1 / Math.Sqrt(IsLatent ? LatentHeadDim : RowElements));

    /// <summary>Multiply-adds per cached token: keys with queries, weights with values.</summary>
    internal long MultiplyAddsPerToken => (long)QueryHeads * (RowElements + ValueElements);

    /// <summary>One layer of BF16 rows in blocks of 64.</summary>
    internal LayerGroup Group => new() { Kind = IsLatent ? AttentionKind.Latent : AttentionKind.Full, Layers = [0], KvHeads = KvHeads, HeadDim = RowElements };
}
