namespace KvHandoff.Layout;

/// <summary>What a layer keeps of the past.</summary>
public enum AttentionKind : byte
{
    /// <summary>Keys and values of every token.</summary>
    Full = 1,

    /// <summary>Keys and values of the last <see cref="LayerGroup.WindowTokens"/> tokens.</summary>
    SlidingWindow = 2,

    /// <summary>Multi-head latent attention: one latent vector per token, shared by all heads; no separate values.</summary>
    Latent = 3,
}

/// <summary>Order of the rows inside a block, and of the elements inside a row.</summary>
public enum DimensionOrder : byte
{
    /// <summary>HND: <c>[kv head][K tokens x dim, V tokens x dim]</c>, one contiguous run per head. The library's own order.</summary>
    HeadMajor = 1,

    /// <summary>NHD: <c>[K, V][token][kv head][dim]</c>, as most engines write it.</summary>
    TokenMajor = 2,

    /// <summary>HND with K before V: <c>[K, V][kv head][token][dim]</c>.</summary>
    PlaneHeadMajor = 3,

    /// <summary>K as <c>[kv head][dim / x][token][x]</c> with x elements of 16 bytes together, V as <c>[kv head][dim][token]</c>.</summary>
    PackedKey = 4,

    /// <summary>K as <c>[kv head][dim][token]</c>, V as <c>[kv head][token][dim]</c>.</summary>
    TransposedKey = 5,
}

/// <summary>What one quantisation scale covers.</summary>
public enum ScaleKind : byte
{
    /// <summary>No scales: the element type stands for itself.</summary>
    None = 0,

    /// <summary>One per K or V of a layer, set once by the host; not stored in the blocks.</summary>
    PerTensor = 1,

    /// <summary>One per kv head of K or V of a layer, set once by the host; not stored in the blocks.</summary>
    PerHead = 2,

    /// <summary>One per (token, kv head).</summary>
    PerTokenHead = 3,

    /// <summary>One per (kv head, channel) and tile of min(64, block) tokens.</summary>
    PerChannelTile = 4,

    /// <summary>One per 32 neighbouring elements of a row: OCP Microscaling.</summary>
    PerGroup32 = 5,
}

/// <summary>K or V.</summary>
public enum KvPlane : byte
{
    /// <summary>Keys; the latent vector of an MLA layer counts as key.</summary>
    Key = 0,

    /// <summary>Values.</summary>
    Value = 1,
}
