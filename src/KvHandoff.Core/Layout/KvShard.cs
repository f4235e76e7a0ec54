using System.Collections.Immutable;

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
/// and of tokens (context parallel), in the numbers of the whole model and sequence.
/// </summary>
/// <remarks>
/// Groups may have different numbers of kv heads. <see cref="KvHeads"/> counts in heads of the widest group; a group of fewer heads
/// holds those that the range touches when both are laid over each other, and a latent group always its one. That is what tensor
/// parallelism gives wherever the widest group has a multiple of every other's heads; for other models <see cref="GroupHeads"/> says it group
/// by group. An offer on the wire carries <see cref="KvHeads"/> only.
/// </remarks>
/// <param name="Layers">Model layers.</param>
/// <param name="KvHeads">Kv heads of the widest group.</param>
/// <param name="Tokens">Positions in the sequence.</param>
public readonly partial record struct KvShard(IndexRange Layers, IndexRange KvHeads, IndexRange Tokens)
{
    /// <summary>Kv heads per layer group, where <see cref="KvHeads"/> does not say them; else default. Ignored for latent groups.</summary>
    public ImmutableArray<IndexRange> GroupHeads { get; init; }

    /// <summary>Everything of a sequence of <paramref name="tokens"/> tokens.</summary>
    public static KvShard Whole(KvCacheLayout layout, int tokens) =>
        new(new IndexRange(0, layout.LayerCount), new IndexRange(0, WidestHeads(layout)), new IndexRange(0, tokens));

    /// <summary>Whether the shard is all that the model and the sequence have.</summary>
    public bool IsWhole(KvCacheLayout layout, int tokens) => this == Whole(layout, tokens);

    /// <summary>The kv heads of layer group <paramref name="group"/> that the shard holds.</summary>
    public IndexRange HeadsOf(KvCacheLayout layout, int group)
    {
        LayerGroup of = layout.Groups[group];
        if (of.Kind == AttentionKind.Latent) return new IndexRange(0, 1);
        return GroupHeads.IsDefaultOrEmpty ? Scaled(KvHeads, of.KvHeads, WidestHeads(layout)) : GroupHeads[group];
    }

    /// <summary>Null when the shard is a part of a sequence of <paramref name="tokens"/> tokens, else what is wrong.</summary>
    public string? Check(KvCacheLayout layout, int tokens)
    {
        string? wrong = CheckRange("layers", Layers, layout.LayerCount)
            ?? CheckRange("kv heads", KvHeads, WidestHeads(layout))
            ?? CheckRange("tokens", Tokens, tokens);
        if (wrong is not null) return wrong;
        if (Tokens.Start % KvSegment.GranuleTokens != 0 || (Tokens.End % KvSegment.GranuleTokens != 0 && Tokens.End != tokens))
            return $"tokens {Tokens} do not begin and end on multiples of {KvSegment.GranuleTokens} or at the sequence's end, {tokens}";
        if (GroupHeads.IsDefaultOrEmpty) return null;
        if (GroupHeads.Length != layout.Groups.Length) return $"kv heads are given for {GroupHeads.Length} layer groups of {layout.Groups.Length}";
        for (int g = 0; g < GroupHeads.Length; g++)
        {
            if (layout.Groups[g].Kind != AttentionKind.Latent) wrong ??= CheckRange($"kv heads of group {g}", GroupHeads[g], layout.Groups[g].KvHeads);
        }

        return wrong;
    }

    /// <summary>Equal when all ranges are.</summary>
    public bool Equals(KvShard other) =>
        Layers == other.Layers && KvHeads == other.KvHeads && Tokens == other.Tokens && Ranges(GroupHeads).SequenceEqual(Ranges(other.GroupHeads));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Layers, KvHeads, Tokens, Ranges(GroupHeads).Length);

    /// <inheritdoc/>
    public override string ToString() =>
        $"layers {Layers}, kv heads {(GroupHeads.IsDefaultOrEmpty ? KvHeads : string.Join('|', GroupHeads))}, tokens {Tokens}";

    internal static int WidestHeads(KvCacheLayout layout)
    {
        int widest = 1;
        foreach (LayerGroup group in layout.Groups) widest = Math.Max(widest, group.KvHeads);
        return widest;
    }

    private static IndexRange Scaled(IndexRange range, int heads, int widest)
    {
        int start = (int)((long)range.Start * heads / widest), end = (int)(((long)range.End * heads + widest - 1) / widest);
        return new IndexRange(start, end - start);
    }

    private static string? CheckRange(string what, IndexRange range, int bound) =>
        range.Count < 1 || range.Start < 0 || range.Start > bound - range.Count ? $"{what} {range} are no part of 0..{bound}" : null;

    private static ReadOnlySpan<IndexRange> Ranges(ImmutableArray<IndexRange> ranges) => ranges.IsDefault ? default : ranges.AsSpan();
}
