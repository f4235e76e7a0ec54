namespace KvHandoff.Numerics;

/// <summary>What a packing pass met besides finite numbers.</summary>
[Flags]
public enum PackFlags
{
    /// <summary>Every element was finite.</summary>
    None = 0,

    /// <summary>At least one element was NaN; it stays NaN in FP8 and becomes 0 in INT8.</summary>
    HadNaN = 1,

    /// <summary>At least one element was infinite; it is packed as the largest code, with its sign.</summary>
    HadInfinity = 2,
}
