using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>How the rows of K or of V are stored: element type, what a scale covers, its type, and the tokens of a scale tile.</summary>
/// <param name="ElementType">Type of the elements.</param>
/// <param name="ScaleKind">What one scale covers.</param>
/// <param name="ScaleType">Type of the scales; fp32 where there are none.</param>
/// <param name="TileTokens">Tokens that share a channel's scale, and that are packed together: 1 to 64.</param>
public readonly record struct StorageForm(ElementType ElementType, ScaleKind ScaleKind, ScaleType ScaleType, int TileTokens)
{
    /// <summary>Elements that share a scale of kind <see cref="ScaleKind.PerGroup32"/>.</summary>
    public const int GroupElements = 32;

    /// <summary>Rows of this type without scales.</summary>
    public static StorageForm Plain(ElementType elementType) => new(elementType, ScaleKind.None, ScaleType.Float32, KvSegment.GranuleTokens);

    /// <summary>Whether codes mean something only together with a scale.</summary>
    public bool IsScaled => ScaleKind != ScaleKind.None;

    /// <summary>Whether the scales lie in the blocks, beside the codes that they belong to.</summary>
    public bool HasStoredScales => ScaleKind >= ScaleKind.PerTokenHead;

    /// <summary>Scales of <paramref name="tokens"/> tokens of one head from a tile's start; a static scale counts once.</summary>
    public int ScaleCount(int tokens, int headDim) => ScaleKind switch
    {
        ScaleKind.None => 0,
        ScaleKind.PerTensor or ScaleKind.PerHead => 1,
        ScaleKind.PerTokenHead => tokens,
        ScaleKind.PerChannelTile => (tokens + TileTokens - 1) / TileTokens * headDim,
        _ => tokens * ((headDim + GroupElements - 1) / GroupElements),
    };

    /// <summary>Bytes of those scales.</summary>
    public int ScaleBytes(int tokens, int headDim) => IsScaled ? ScaleCount(tokens, headDim) * ScaleType.SizeBytes() : 0;

    /// <summary>Bytes of <paramref name="tokens"/> rows without their scales.</summary>
    public int RowsBytes(int tokens, int headDim) => tokens * headDim * ElementType.SizeBytes();

    /// <summary>A few words for people, such as <c>"int8, fp32 scale per (head, channel, 64 tokens)"</c>.</summary>
    public override string ToString() => ScaleKind switch
    {
        ScaleKind.None => ElementType.Name(),
        ScaleKind.PerTensor => $"{ElementType.Name()}, static scale per tensor",
        ScaleKind.PerHead => $"{ElementType.Name()}, static scale per head",
        ScaleKind.PerTokenHead => $"{ElementType.Name()}, {ScaleType.Name()} scale per (token, head)",
        ScaleKind.PerChannelTile => $"{ElementType.Name()}, {ScaleType.Name()} scale per (head, channel, {TileTokens} tokens)",
        _ => $"{ElementType.Name()}, {ScaleType.Name()} scale per {GroupElements} elements",
    };
}
