using System.Collections.Immutable;

namespace KvHandoff.Layout;

/// <summary>
/// A known prefix: the blocks that held it when it was looked up. It keeps no reference to them; <see cref="KvSequence.TryShareFrom"/> takes
/// them, and finds out whether they are still there.
/// </summary>
public sealed class PrefixMatch
{
    private readonly int _unitTokens;

    internal PrefixMatch(PagedKvCache cache, int tokens, int unitTokens, ImmutableArray<ImmutableArray<SlotHandle>> blocks)
    {
        Cache = cache;
        Tokens = tokens;
        Blocks = blocks;
        _unitTokens = unitTokens;
    }

    /// <summary>The cache whose blocks they are.</summary>
    public PagedKvCache Cache { get; }

    /// <summary>Tokens of the prefix: 0, or a multiple of the index's unit.</summary>
    public int Tokens { get; }

    /// <summary>Whole granules that are known.</summary>
    public int Granules => Tokens / KvSegment.GranuleTokens;

    /// <summary>Per layer group the blocks in order.</summary>
    internal ImmutableArray<ImmutableArray<SlotHandle>> Blocks { get; }

    /// <summary>
    /// The match, cut to <paramref name="tokens"/> tokens or, where that is no multiple of the index's unit, to the multiple below: for
    /// a host that has to compute the prompt's last token itself.
    /// </summary>
    public PrefixMatch AtMost(int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        if (tokens >= Tokens) return this;
        int kept = tokens / _unitTokens * _unitTokens;
        return new PrefixMatch(Cache, kept, _unitTokens, [.. Blocks.Select((b, g) => b[..(kept / Cache.Layout.Groups[g].BlockTokens)])]);
    }
}
