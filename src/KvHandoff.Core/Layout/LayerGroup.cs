using System.Collections.Immutable;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// Layers of one model that store their past alike. Every group has its own blocks and block tables, so that sliding-window
/// layers need not keep what full-attention layers do.
/// </summary>
public sealed record LayerGroup
{
    /// <summary>Most tokens a block can hold: a page has up to 256, the line of a cache that is not paged as many as a sequence may have.</summary>
    public const int MaxBlockTokens = 131_072;

    /// <summary>Most layers, kv heads and head dimension that a description may claim; all parsers rely on these bounds.</summary>
    public const int MaxLayers = 1024, MaxKvHeads = 1024, MaxHeadDim = 4096;

    /// <summary>Bytes of a key row that lie together in order <see cref="DimensionOrder.PackedKey"/>.</summary>
    public const int PackedKeyChunkBytes = 16;

    /// <summary>Attention form of the layers.</summary>
    public AttentionKind Kind { get; init; } = AttentionKind.Full;

    /// <summary>Model layer indices of this group, ascending.</summary>
    public required ImmutableArray<int> Layers { get; init; }

    /// <summary>Key/value heads; 1 for MQA and for a latent group.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Elements per row: the head dimension, or latent + rope dimensions of a latent group (512 + 64 for DeepSeek-V3).</summary>
    public required int HeadDim { get; init; }

    /// <summary>Tokens per block, 1 to 131,072; a block has at most 2^31 - 1 bytes.</summary>
    public int BlockTokens { get; init; } = 64;

    /// <summary>Tokens a sliding-window layer looks back on, itself included; 0 for the other kinds.</summary>
    public int WindowTokens { get; init; }

    /// <summary>Type of the stored elements.</summary>
    public ElementType ElementType { get; init; } = ElementType.BFloat16;

    /// <summary>What the scales of the keys cover.</summary>
    public ScaleKind KeyScaleKind { get; init; } = ScaleKind.None;

    /// <summary>What the scales of the values cover; ignored by a latent group.</summary>
    public ScaleKind ValueScaleKind { get; init; } = ScaleKind.None;

    /// <summary>Type of all scales.</summary>
    public ScaleType ScaleType { get; init; } = ScaleType.Float32;

    /// <summary>Order of rows in a block.</summary>
    public DimensionOrder Order { get; init; } = DimensionOrder.HeadMajor;

    /// <summary>2 for keys and values, 1 for a latent group.</summary>
    public int Planes => Kind == AttentionKind.Latent ? 1 : 2;

    /// <summary>Bytes of one row: one token of one head of K or of V.</summary>
    public int RowBytes => HeadDim * ElementType.SizeBytes();

    /// <summary>Rows of one token in one layer.</summary>
    public int RowsPerToken => KvHeads * Planes;

    /// <summary>Bytes one token takes in one layer, stored scales included (those of a tile or block are shared out, rounded up).</summary>
    public int BytesPerTokenPerLayer => (Geometry.BlockBytes + BlockTokens - 1) / BlockTokens;

    /// <summary>Tokens that are packed together: min(64, block), so that a tile never spans blocks.</summary>
    public int TileTokens => Math.Min(KvSegment.GranuleTokens, BlockTokens);

    /// <summary>
    /// Whether new tokens are kept in BF16 until their tile is full: so where the scales lie in the blocks. Other caches take
    /// every token as it comes.
    /// </summary>
    public bool HasTail => Form(KvPlane.Key).HasStoredScales || (Planes == 2 && Form(KvPlane.Value).HasStoredScales);

    /// <summary>How the rows of a plane are stored.</summary>
    public StorageForm Form(KvPlane plane) =>
        new(ElementType, plane == KvPlane.Key ? KeyScaleKind : ValueScaleKind, ScaleType, TileTokens);

    /// <summary>The group of the BF16 rows that wait for their tile to fill.</summary>
    /// <exception cref="InvalidOperationException">The group has no tail.</exception>
    public LayerGroup Tail => HasTail
        ? this with
        {
            BlockTokens = TileTokens,
            ElementType = ElementType.BFloat16,
            KeyScaleKind = ScaleKind.None,
            ValueScaleKind = ScaleKind.None,
            ScaleType = ScaleType.Float32,
            Order = DimensionOrder.HeadMajor,
        }
        : throw new InvalidOperationException($"Rows stored as {Form(KvPlane.Key)} are not packed in tiles.");

    /// <summary>Where rows lie inside a block.</summary>
    public BlockGeometry Geometry => new(this);

    /// <summary>Tokens that the group keeps of a sequence of <paramref name="tokens"/> tokens.</summary>
    public long KeptTokens(long tokens) => Kind == AttentionKind.SlidingWindow ? Math.Min(tokens, WindowTokens) : tokens;

    /// <summary>Throws when a field is out of range or contradicts another.</summary>
    /// <exception cref="KvLayoutException">The message names the field, its value and what is allowed.</exception>
    public void Validate()
    {
        if (Kind is < AttentionKind.Full or > AttentionKind.Latent) throw Bad(nameof(Kind), Kind, "1 to 3");
        if (Order is < DimensionOrder.HeadMajor or > DimensionOrder.TransposedKey) throw Bad(nameof(Order), Order, "1 to 5");
        if (!ElementType.IsDefined()) throw Bad(nameof(ElementType), ElementType, "a defined element type");
        if (!ScaleType.IsDefined()) throw Bad(nameof(ScaleType), (byte)ScaleType, "1 to 3");
        CheckScales(nameof(KeyScaleKind), KeyScaleKind);
        if (Planes == 2) CheckScales(nameof(ValueScaleKind), ValueScaleKind);
        if (Planes == 2 && Form(KvPlane.Key).HasStoredScales != Form(KvPlane.Value).HasStoredScales)
            throw Bad(nameof(ValueScaleKind), ValueScaleKind, $"scales in the blocks for both planes or for none; {nameof(KeyScaleKind)} is {KeyScaleKind}");
        Check(nameof(KvHeads), KvHeads, 1, Kind == AttentionKind.Latent ? 1 : MaxKvHeads);
        Check(nameof(HeadDim), HeadDim, 1, MaxHeadDim);
        Check(nameof(BlockTokens), BlockTokens, 1, MaxBlockTokens);
        Check(nameof(WindowTokens), WindowTokens, Kind == AttentionKind.SlidingWindow ? 1 : 0, Kind == AttentionKind.SlidingWindow ? int.MaxValue : 0);
        if (HasTail && KvSegment.GranuleTokens % BlockTokens != 0 && BlockTokens % KvSegment.GranuleTokens != 0)
            throw Bad(nameof(BlockTokens), BlockTokens, $"a divisor or a multiple of {KvSegment.GranuleTokens} where scales lie in the blocks");
        if (Order == DimensionOrder.PackedKey && RowBytes % PackedKeyChunkBytes != 0)
            throw Bad($"{nameof(Order)} {Order}: row bytes", RowBytes, $"a multiple of {PackedKeyChunkBytes}");
        if (BlockBytes() is long bytes and > int.MaxValue) throw Bad("Bytes of a block", bytes, $"1 to {int.MaxValue}");
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
        && WindowTokens == other.WindowTokens && ElementType == other.ElementType && KeyScaleKind == other.KeyScaleKind
        && ValueScaleKind == other.ValueScaleKind && ScaleType == other.ScaleType && Order == other.Order
        && Layers.AsSpan().SequenceEqual(other.Layers.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, KvHeads, HeadDim, BlockTokens, ElementType, Layers.Length);

    /// <summary>A few words for people. The generated text would evaluate <see cref="Tail"/>, which not every group has.</summary>
    public override string ToString() =>
        $"{Kind}, {Layers.Length} layers x {KvHeads} kv heads x {HeadDim}, K {Form(KvPlane.Key)}, V {Form(KvPlane.Value)}, {Order}, blocks of {BlockTokens}";

    // As the geometry counts them, without its bound.
    private long BlockBytes()
    {
        long bytes = (long)KvHeads * Planes * BlockTokens * RowBytes;
        for (int plane = 0; plane < Planes; plane++)
        {
            StorageForm form = Form((KvPlane)plane);
            if (form.HasStoredScales) bytes += (long)KvHeads * form.ScaleBytes(BlockTokens, HeadDim);
        }

        return bytes;
    }

    private void CheckScales(string field, ScaleKind kind)
    {
        if (kind is < ScaleKind.None or > ScaleKind.PerGroup32) throw Bad(field, (byte)kind, "0 to 5");
        if (kind != ScaleKind.None && ElementType.SizeBytes() != 1) throw Bad(field, kind, $"None for elements of {ElementType.Name()}");
        if (kind == ScaleKind.None && ElementType == ElementType.Int8) throw Bad(field, kind, "any other: int8 has no value without a scale");
        if (kind == ScaleKind.PerGroup32 != (ScaleType == ScaleType.E8M0) && kind != ScaleKind.None)
            throw Bad($"{nameof(ScaleType)} of {field} {kind}", ScaleType, kind == ScaleKind.PerGroup32 ? "E8M0" : "Float32 or BFloat16");
        if (kind == ScaleKind.PerGroup32 && ElementType == ElementType.Int8) throw Bad(field, kind, "any other for int8");
    }

    private static void Check(string field, int value, int low, int high)
    {
        if (value < low || value > high) throw Bad(field, value, low == high ? $"{low}" : $"{low} to {high}");
    }

    private static KvLayoutException Bad(string field, object value, string allowed) => new($"{field} is {value}; allowed: {allowed}.");
}
