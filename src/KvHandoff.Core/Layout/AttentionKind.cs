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

/// <summary>Order of the rows inside a block.</summary>
public enum DimensionOrder : byte
{
    /// <summary>HND: <c>[kv head][K tokens x dim, V tokens x dim]</c>, one contiguous run per head. The library's own order.</summary>
    HeadMajor = 1,

    /// <summary>NHD: <c>[K, V][token][kv head][dim]</c>, as most engines write it.</summary>
    TokenMajor = 2,
}

/// <summary>Where the scales of a quantised cache apply.</summary>
public enum ScaleKind : byte
{
    /// <summary>No scales: the element type stands for itself.</summary>
    None = 0,

    /// <summary>One scale per (token, kv head) of K and of V.</summary>
    PerTokenHead = 3,
}

/// <summary>K or V.</summary>
public enum KvPlane : byte
{
    /// <summary>Keys; the latent vector of an MLA layer counts as key.</summary>
    Key = 0,

    /// <summary>Values.</summary>
    Value = 1,
}
