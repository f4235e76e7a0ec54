using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Every legal combination of element type, what the scales of K and of V cover, and the scales' type.</summary>
static class StoredForms
{
    public static IReadOnlyList<LayerGroup> All { get; } = [.. Combinations()];

    public static string Name(LayerGroup form) => form.KeyScaleKind == ScaleKind.None && form.ValueScaleKind == ScaleKind.None
        ? $"{form.ElementType}"
        : $"{form.ElementType} {form.KeyScaleKind} {form.ValueScaleKind} {form.ScaleType}";

    public static LayerGroup Plain(ElementType type, int kvHeads = 2, int dim = 64, int blockTokens = 64, DimensionOrder order = DimensionOrder.HeadMajor) =>
        new() { Layers = [0], KvHeads = kvHeads, HeadDim = dim, BlockTokens = blockTokens, Order = order, ElementType = type };

    public static LayerGroup Scaled(ElementType type, ScaleKind keys, ScaleKind values, ScaleType scales = ScaleType.Float32, int kvHeads = 2, int dim = 64, int blockTokens = 64,
        DimensionOrder order = DimensionOrder.HeadMajor) =>
        Plain(type, kvHeads, dim, blockTokens, order) with { KeyScaleKind = keys, ValueScaleKind = values, ScaleType = scales };

    // The group itself says which combinations are legal; how many it takes is tested.
    static IEnumerable<LayerGroup> Combinations()
    {
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            foreach (ScaleKind keys in Enum.GetValues<ScaleKind>())
            {
                foreach (ScaleKind values in Enum.GetValues<ScaleKind>())
                {
                    foreach (ScaleType scales in Enum.GetValues<ScaleType>())
                    {
                        LayerGroup form = Scaled(type, keys, values, scales);
                        if (keys == ScaleKind.None && values == ScaleKind.None && scales != ScaleType.Float32) continue;
                        if (IsLegal(form)) yield return form;
                    }
                }
            }
        }
    }

    public static bool IsLegal(LayerGroup group)
    {
        try
        {
            group.Validate();
            return true;
        }
        catch (KvLayoutException)
        {
            return false;
        }
    }
}
