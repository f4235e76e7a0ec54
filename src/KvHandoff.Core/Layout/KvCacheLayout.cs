using System.Collections.Immutable;
using System.Globalization;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// Describes a KV cache completely: the model it belongs to and its layer groups. Immutable and validated on construction.
/// </summary>
public sealed class KvCacheLayout : IEquatable<KvCacheLayout>
{
    /// <summary>Most groups a layout may have.</summary>
    public const int MaxGroups = 16;

    private readonly (short Group, short Index)[] _layers;

    /// <summary>Builds and validates a layout. Together the groups must cover layers 0 .. n-1, each exactly once.</summary>
    /// <exception cref="KvLayoutException">A field is out of range, or layers are missing or listed twice.</exception>
    public KvCacheLayout(ModelIdentity model, ImmutableArray<LayerGroup> groups)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.Validate();
        if (groups.IsDefaultOrEmpty || groups.Length > MaxGroups)
            throw new KvLayoutException($"A layout has {(groups.IsDefault ? 0 : groups.Length)} layer groups; allowed: 1 to {MaxGroups}.");
        foreach (LayerGroup group in groups) group.Validate();
        Model = model;
        Groups = groups;
        LayerCount = groups.Sum(g => g.Layers.Length);
        _layers = new (short, short)[LayerCount];
        Array.Fill(_layers, ((short)-1, (short)-1));
        for (int g = 0; g < groups.Length; g++)
        {
            for (int i = 0; i < groups[g].Layers.Length; i++)
            {
                int layer = groups[g].Layers[i];
                if (layer >= LayerCount) throw new KvLayoutException($"Layer {layer} is listed, but the groups hold {LayerCount} layers in all.");
                if (_layers[layer].Group >= 0) throw new KvLayoutException($"Layer {layer} is in group {_layers[layer].Group} and in group {g}.");
                _layers[layer] = ((short)g, (short)i);
            }
        }
    }

    /// <summary>The model.</summary>
    public ModelIdentity Model { get; }

    /// <summary>The layer groups.</summary>
    public ImmutableArray<LayerGroup> Groups { get; }

    /// <summary>Layers of the model.</summary>
    public int LayerCount { get; }

    /// <summary>A model whose layers are all alike: MHA, GQA (fewer kv heads than query heads) or MQA (one kv head).</summary>
    public static KvCacheLayout Uniform(ModelIdentity model, int layers, int kvHeads, int headDim,
        ElementType elementType = ElementType.BFloat16, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor) =>
        new(model, [new LayerGroup
        {
            Layers = AllLayers(layers), KvHeads = kvHeads, HeadDim = headDim, ElementType = elementType, BlockTokens = blockTokens, Order = order,
        }]);

    /// <summary>A model with multi-head latent attention: one vector of <paramref name="latentDim"/> + <paramref name="ropeDim"/> elements per token and layer.</summary>
    public static KvCacheLayout Latent(ModelIdentity model, int layers, int latentDim, int ropeDim,
        ElementType elementType = ElementType.BFloat16, int blockTokens = 64) =>
        new(model, [new LayerGroup
        {
            Kind = AttentionKind.Latent, Layers = AllLayers(layers), KvHeads = 1, HeadDim = latentDim + ropeDim,
            ElementType = elementType, BlockTokens = blockTokens,
        }]);

    /// <summary>Group that <paramref name="layer"/> (0 to <see cref="LayerCount"/> - 1) belongs to.</summary>
    public int GroupOf(int layer) => Locate(layer).Group;

    /// <summary>Position of <paramref name="layer"/> within its group.</summary>
    public int IndexInGroup(int layer) => Locate(layer).Index;

    /// <summary>Geometry of <paramref name="layer"/>'s blocks.</summary>
    public LayerGroup Group(int layer) => Groups[GroupOf(layer)];

    /// <summary>Bytes a new token takes over all layers, scales included (sliding-window layers too, until their window is full).</summary>
    public long BytesPerToken => Groups.Sum(g => (long)g.Layers.Length * g.BytesPerTokenPerLayer);

    /// <summary>
    /// Bytes of a sequence of <paramref name="tokens"/> tokens: layers x kv heads x head dim x 2 (K and V) x element size x tokens,
    /// where a sliding-window group counts at most its window and a latent group counts one plane.
    /// </summary>
    public long BytesForTokens(long tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        return Groups.Sum(g => g.KeptTokens(tokens) * g.Layers.Length * g.BytesPerTokenPerLayer);
    }

    /// <inheritdoc/>
    public bool Equals(KvCacheLayout? other) => other is not null && Model == other.Model && Groups.AsSpan().SequenceEqual(other.Groups.AsSpan());

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as KvCacheLayout);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Model, Groups.Length, LayerCount);

    /// <summary>One line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Model.Name}: {string.Join(" + ", Groups.Select(g => $"{g.Layers.Length} layers x {g.KvHeads} kv heads x {g.HeadDim} {g.ElementType.Name()}, blocks of {g.BlockTokens}"))}");

    internal static ImmutableArray<int> AllLayers(int layers)
    {
        if (layers is < 1 or > LayerGroup.MaxLayers) throw new KvLayoutException($"A model has {layers} layers; allowed: 1 to {LayerGroup.MaxLayers}.");
        return [.. Enumerable.Range(0, layers)];
    }

    private (short Group, short Index) Locate(int layer)
    {
        if ((uint)layer >= (uint)_layers.Length) throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The model has {LayerCount} layers.");
        return _layers[layer];
    }
}
