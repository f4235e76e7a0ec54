using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Where elements and scales lie in a block, by the sentences that document the orders; the library's geometry is not asked.</summary>
static class StoredPlaces
{
    /// <summary>Where the rows of one plane of one token are found: of its block, or of the tail of a head.</summary>
    public static Span<byte> Rows(scoped in KvLayerView view, int head, KvPlane plane, int token) =>
        token >= view.PackedTokens ? view.Tail(head, plane) : view.Plane(token / view.Group.BlockTokens, plane);

    /// <summary>Offset of an element in <see cref="Rows"/>, and its size.</summary>
    public static (int Offset, int Bytes) Element(LayerGroup group, int packedTokens, int head, KvPlane plane, int token, int d)
    {
        int dim = group.HeadDim, heads = group.KvHeads, block = group.BlockTokens;
        if (token >= packedTokens) return ((token % Math.Min(64, block) * dim + d) * 2, 2);
        int t = token % block, element = SizeBytes(group.ElementType), packed = 16 / element;
        // Counted in elements from the plane's first on; head-major blocks have a head's K and V together.
        int at = group.Order switch
        {
            DimensionOrder.HeadMajor => (head * group.Planes * block + t) * dim + d,
            DimensionOrder.TokenMajor => (t * heads + head) * dim + d,
            DimensionOrder.PackedKey when plane == KvPlane.Key => ((head * (dim / packed) + d / packed) * block + t) * packed + d % packed,
            DimensionOrder.PackedKey => (head * dim + d) * block + t,
            DimensionOrder.TransposedKey when plane == KvPlane.Key => (head * dim + d) * block + t,
            _ => (head * block + t) * dim + d,
        };
        return (at * element, element);
    }

    /// <summary>Offset in its block of the scale of one element: behind all rows, <c>[kv head][K, V][scale]</c>.</summary>
    public static (int Offset, int Bytes) Scale(LayerGroup group, int head, KvPlane plane, int token, int d)
    {
        int tile = Math.Min(64, group.BlockTokens), within = token % group.BlockTokens, bytes = StoredNumbers.ScaleBytes(group.ScaleType);
        int keys = Count(group, group.KeyScaleKind), values = group.Planes == 2 ? Count(group, group.ValueScaleKind) : 0;
        ScaleKind kind = plane == KvPlane.Key ? group.KeyScaleKind : group.ValueScaleKind;
        int index = kind switch
        {
            ScaleKind.PerTokenHead => within,
            ScaleKind.PerChannelTile => within / tile * group.HeadDim + d,
            _ => within * ((group.HeadDim + 31) / 32) + d / 32,
        };
        int rows = group.KvHeads * group.Planes * group.BlockTokens * group.HeadDim * SizeBytes(group.ElementType);
        return (rows + (head * (keys + values) + (plane == KvPlane.Key ? 0 : keys) + index) * bytes, bytes);
    }

    /// <summary>Whether an element is the first of those that share its scale.</summary>
    public static bool BeginsScale(LayerGroup group, ScaleKind kind, int token, int d) => kind switch
    {
        ScaleKind.PerTokenHead => d == 0,
        ScaleKind.PerChannelTile => token % Math.Min(64, group.BlockTokens) == 0,
        _ => d % 32 == 0,
    };

    static int Count(LayerGroup group, ScaleKind kind) => kind switch
    {
        ScaleKind.PerTokenHead => group.BlockTokens,
        ScaleKind.PerChannelTile => group.BlockTokens / Math.Min(64, group.BlockTokens) * group.HeadDim,
        _ => group.BlockTokens * ((group.HeadDim + 31) / 32),
    };

    static int SizeBytes(ElementType type) => type switch { ElementType.Float32 => 4, ElementType.Float16 or ElementType.BFloat16 => 2, _ => 1 };
}
