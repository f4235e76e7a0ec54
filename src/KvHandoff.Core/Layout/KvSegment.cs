namespace KvHandoff.Layout;

/// <summary>
/// The unit that is encoded, checksummed and verified: the rows of one kv head of K or V of one layer for one granule of tokens,
/// token-major. Granules count from position 0, so a segment is the same whatever the block sizes and shards of both sides are.
/// </summary>
public readonly record struct KvSegment(int Layer, int Head, KvPlane Plane, int Granule)
{
    /// <summary>Tokens per granule.</summary>
    public const int GranuleTokens = 64;

    /// <summary>Granules of a sequence of <paramref name="tokens"/> tokens.</summary>
    public static int GranuleCount(int tokens) => (int)(((long)tokens + GranuleTokens - 1) / GranuleTokens);

    /// <summary>Tokens of granule <paramref name="granule"/> in a sequence of <paramref name="tokens"/> tokens.</summary>
    public static int TokensIn(int granule, int tokens) => Math.Min(GranuleTokens, tokens - granule * GranuleTokens);
}
