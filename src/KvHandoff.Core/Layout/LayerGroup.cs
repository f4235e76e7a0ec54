using System.Collections.Immutable;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// Layers of one model that store their past alike. Every group has its own blocks and block tables, so that sliding-window
/// layers need not keep what full-attention layers do.
/// </summary>
public sealed record LayerGroup
{
    /// <summary>Most tokens a block can hold.</summary>
    public const int MaxBlockTokens = 256;

    /// <summary>Most layers, kv heads and head dimension that a description may claim; all parsers rely on these bounds.</summary>
    public const int MaxLayers = 1024, MaxKvHeads = 1024, MaxHeadDim = 4096;

    /// <summary>Attention form of the layers.</summary>
    public AttentionKind Kind { get; init; } = AttentionKind.Full;

    /// <summary>Model layer indices of this group, ascending.</summary>
    public required ImmutableArray<int> Layers { get; init; }

    /// <summary>Key/value heads; 1 for MQA and for a latent group.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Elements per row: the head dimension, or latent + rope dimensions of a latent group (512 + 64 for DeepSeek-V3).</summary>
    public required int HeadDim { get; init; }

    /// <summary>Tokens per block, 1 to 256.</summary>
    public int BlockTokens { get; init; } = 64;

    /// <summary>Tokens a sliding-window layer looks back on, itself included; 0 for the other kinds.</summary>
    public int WindowTokens { get; init; }

    /// <summary>Type of the stored elements.</summary>
    public ElementType ElementType { get; init; } = ElementType.BFloat16;

    /// <summary>Scales stored beside the elements.</summary>
    public ScaleKind ScaleKind { get; init; } = ScaleKind.None;

    /// <summary>Order of rows in a block.</summary>
    public DimensionOrder Order { get; init; } = DimensionOrder.HeadMajor;

    /// <summary>2 for keys and values, 1 for a latent group.</summary>
    public int Planes => Kind == AttentionKind.Latent ? 1 : 2;

    /// <summary>Bytes of one row: one token of one head of K or of V.</summary>
    public int RowBytes => HeadDim * ElementType.SizeBytes();

    /// <summary>Rows of one token in one layer.</summary>
    public int RowsPerToken => KvHeads * Planes;

    /// <summary>Bytes one token takes in one layer, fp32 scales included.</summary>
    public int BytesPerTokenPerLayer => RowsPerToken * (RowBytes + ScaleBytesPerRow);

    /// <summary>Bytes of scale per row.</summary>
    public int ScaleBytesPerRow => ScaleKind == ScaleKind.PerTokenHead ? sizeof(float) : 0;

    /// <summary>Where rows lie inside a block.</summary>
    public BlockGeometry Geometry => new(this);

    /// <summary>Tokens that the group keeps of a sequence of <paramref name="tokens"/> tokens.</summary>
    public long KeptTokens(long tokens) => Kind == AttentionKind.SlidingWindow ? Math.Min(tokens, WindowTokens) : tokens;

    /// <summary>Throws when a field is out of range or contradicts another.</summary>
    /// <exception cref="KvLayoutException">The message names the field, its value and what is allowed.</exception>
    public void Validate()
    {
        if (Kind is < AttentionKind.Full or > AttentionKind.Latent) throw Bad(nameof(Kind), Kind, "1 to 3");
        if (Order is < DimensionOrder.HeadMajor or > DimensionOrder.TokenMajor) throw Bad(nameof(Order), Order, "1 or 2");
        if (!ElementType.IsDefined()) throw Bad(nameof(ElementType), ElementType, "a defined element type");
        if (ScaleKind is not (ScaleKind.None or ScaleKind.PerTokenHead)) throw Bad(nameof(ScaleKind), ScaleKind, "0 or 3");
        Check(nameof(KvHeads), KvHeads, 1, Kind == AttentionKind.Latent ? 1 : MaxKvHeads);
        Check(nameof(HeadDim), HeadDim, 1, MaxHeadDim);
        Check(nameof(BlockTokens), BlockTokens, 1, MaxBlockTokens);
        Check(nameof(WindowTokens), WindowTokens, Kind == AttentionKind.SlidingWindow ? 1 : 0, Kind == AttentionKind.SlidingWindow ? int.MaxValue : 0);
        if (Layers.IsDefaultOrEmpty || Layers.Length > MaxLayers)
            throw Bad(nameof(Layers), Layers.IsDefault ? 0 : Layers.Length, $"1 to {MaxLayers} layers");
        for (int i = 0; i < Layers.Length; i++)
        {
            if (Layers[i] < 0 || Layers[i] >= MaxLayers || (i > 0 && Layers[i] <= Layers[i - 1]))
                throw Bad($"{nameof(Layers)}[{i}]", Layers[i], $"ascending indices below {MaxLayers}");
        }
    }

    /// <inheritdoc/>
    public bool Equals(LayerGroup? other) =>
        other is not null && Kind == other.Kind && KvHeads == other.KvHeads && HeadDim == other.HeadDim && BlockTokens == other.BlockTokens
        && WindowTokens == other.WindowTokens && ElementType == other.ElementType && ScaleKind == other.ScaleKind && Order == other.Order
        && Layers.AsSpan().SequenceEqual(other.Layers.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, KvHeads, HeadDim, BlockTokens, ElementType, Layers.Length);

    private static void Check(string field, int value, int low, int high)
    {
        if (value < low || value > high) throw Bad(field, value, low == high ? $"{low}" : $"{low} to {high}");
    }

    private static KvLayoutException Bad(string field, object value, string allowed) => new($"{field} is {value}; allowed: {allowed}.");
}
