using System.Collections.Immutable;

namespace KvHandoff.Layout;

/// <summary>How engines divide a cache among workers.</summary>
public readonly partial record struct KvShard
{
    /// <summary>
    /// The kv heads that a rank holds. Up to as many ranks as heads divide them as evenly as they go; more ranks hold each head
    /// <paramref name="size"/> / <paramref name="kvHeads"/> times, neighbours the same one.
    /// </summary>
    /// <param name="kvHeads">Heads to divide, 1 or more.</param>
    /// <param name="rank">0 to <paramref name="size"/> - 1.</param>
    /// <param name="size">Ranks; above <paramref name="kvHeads"/> a multiple of it.</param>
    /// <exception cref="KvLayoutException">There is no such rank, or the ranks are no multiple of the heads.</exception>
    public static IndexRange HeadsOfRank(int kvHeads, int rank, int size)
    {
        CheckRank("Tensor", rank, size);
        if (size <= kvHeads) return Even(kvHeads, rank, size);
        if (size % kvHeads != 0) throw new KvLayoutException($"{size} tensor-parallel ranks share {kvHeads} kv heads; allowed: at most {kvHeads}, or a multiple of it.");
        return new IndexRange(rank / (size / kvHeads), 1);
    }

    /// <summary>All layers and tokens of the kv heads that a tensor-parallel rank holds, by <see cref="HeadsOfRank"/> for every group; every rank holds a latent.</summary>
    /// <exception cref="KvLayoutException">There is no such rank, or the ranks are no multiple of a group's heads.</exception>
    public static KvShard TensorParallel(KvCacheLayout layout, int tokens, int rank, int size)
    {
        KvShard shard = Whole(layout, tokens) with { KvHeads = HeadsOfRank(WidestHeads(layout), rank, size) };
        ImmutableArray<IndexRange> heads = [.. layout.Groups.Select(g => g.Kind == AttentionKind.Latent ? new IndexRange(0, 1) : HeadsOfRank(g.KvHeads, rank, size))];
        for (int g = 0; g < heads.Length; g++)
        {
            if (shard.HeadsOf(layout, g) != heads[g]) return shard with { GroupHeads = heads };
        }

        return shard;
    }

    /// <summary>The rank's part of this shard's layers, as even as they go.</summary>
    /// <exception cref="KvLayoutException">There is no such rank, or there are more ranks than layers.</exception>
    public KvShard PipelineParallel(int rank, int size)
    {
        CheckRank("Pipeline", rank, size);
        if (size > Layers.Count) throw new KvLayoutException($"{size} pipeline ranks share {Layers.Count} layers; allowed: 1 to {Layers.Count}.");
        return this with { Layers = Part(Layers, Even(Layers.Count, rank, size)) };
    }

    /// <summary>The rank's part of this shard's tokens: consecutive whole granules, as even as they go.</summary>
    /// <exception cref="KvLayoutException">There is no such rank, or there are more ranks than granules.</exception>
    public KvShard ContextParallel(int rank, int size)
    {
        CheckRank("Context", rank, size);
        int granules = KvSegment.GranuleCount(Tokens.Count);
        if (size > granules) throw new KvLayoutException($"{size} context ranks share {granules} granules of {KvSegment.GranuleTokens} tokens; allowed: 1 to {granules}.");
        IndexRange part = Even(granules, rank, size);
        int start = part.Start * KvSegment.GranuleTokens, end = Math.Min(part.End * KvSegment.GranuleTokens, Tokens.Count);
        return this with { Tokens = Part(Tokens, new IndexRange(start, end - start)) };
    }

    private static IndexRange Part(IndexRange whole, IndexRange part) => new(whole.Start + part.Start, part.Count);

    private static IndexRange Even(int count, int rank, int size)
    {
        int start = (int)((long)rank * count / size), end = (int)((rank + 1L) * count / size);
        return new IndexRange(start, end - start);
    }

    private static void CheckRank(string kind, int rank, int size)
    {
        if (size < 1 || rank < 0 || rank >= size) throw new KvLayoutException($"{kind}-parallel rank {rank} of {size} was asked for; ranks are 0 to size - 1.");
    }
}
