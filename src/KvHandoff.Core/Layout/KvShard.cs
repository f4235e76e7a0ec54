namespace KvHandoff.Layout;

/// <summary>Consecutive indices <see cref="Start"/> .. <see cref="Start"/> + <see cref="Count"/> - 1.</summary>
public readonly record struct IndexRange(int Start, int Count)
{
    /// <summary>First index after the range.</summary>
    public int End => Start + Count;

    /// <inheritdoc/>
    public override string ToString() => $"{Start}..{End}";
}

/// <summary>
/// The part of a sequence's cache that one worker holds: a range of layers (pipeline parallel), of kv heads (tensor parallel)
/// and of tokens (context parallel).
/// </summary>
public readonly record struct KvShard(IndexRange Layers, IndexRange KvHeads, IndexRange Tokens)
{
    /// <summary>Everything of a sequence of <paramref name="tokens"/> tokens.</summary>
    public static KvShard Whole(KvCacheLayout layout, int tokens) =>
        new(new IndexRange(0, layout.LayerCount), new IndexRange(0, layout.Groups.Max(g => g.KvHeads)), new IndexRange(0, tokens));

    /// <summary>Whether the shard is all that the model and the sequence have.</summary>
    public bool IsWhole(KvCacheLayout layout, int tokens) => this == Whole(layout, tokens);
}
