using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Wire;

/// <summary>Writes and reads a complete cache description. Thread-safe.</summary>
public static class LayoutCodec
{
    // Field 5 of a layout: per group its length u32 and its fields.
    private const int MaxGroupsBytes = KvCacheLayout.MaxGroups * 4096;

    private const int MaxLayoutBytes = MaxGroupsBytes + 16384;

    /// <summary>Writes the fields of <paramref name="layout"/>.</summary>
    public static void Write(KvCacheLayout layout, IBufferWriter<byte> output)
    {
        var fields = new FieldWriter(output);
        fields.Text(1, layout.Model.Name);
        fields.Text(2, layout.Model.Revision);
        fields.Double(3, layout.Model.RopeTheta);
        fields.Text(4, layout.Model.RopeScaling);
        var groups = new ArrayBufferWriter<byte>();
        foreach (LayerGroup group in layout.Groups)
        {
            var one = new ArrayBufferWriter<byte>();
            WriteGroup(group, new FieldWriter(one));
            BinaryPrimitives.WriteInt32LittleEndian(groups.GetSpan(sizeof(int)), one.WrittenCount);
            groups.Advance(sizeof(int));
            groups.Write(one.WrittenSpan);
        }

        fields.Bytes(5, groups.WrittenSpan);
    }

    /// <summary>Reads a layout; null when it is complete, in range and consistent.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out KvCacheLayout? layout)
    {
        layout = null;
        var fields = new FieldReader(source, "Layout");
        string name = fields.Text(1), revision = fields.Text(2);
        double theta = fields.Double(3);
        string scaling = fields.Text(4);
        ReadOnlySpan<byte> groupBytes = fields.Bytes(5, MaxGroupsBytes);
        if (fields.End() is { } error) return error;
        ImmutableArray<LayerGroup>.Builder groups = ImmutableArray.CreateBuilder<LayerGroup>();
        while (!groupBytes.IsEmpty)
        {
            if (groupBytes.Length < sizeof(uint)) return WireError.Truncated("The length of a layer group", groupBytes.Length, sizeof(uint));
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(groupBytes);
            groupBytes = groupBytes[sizeof(uint)..];
            if (length > (uint)groupBytes.Length || groups.Count == KvCacheLayout.MaxGroups)
                return new WireError(WireErrorCode.BadLength, $"Layer group {groups.Count} claims {length} bytes; {groupBytes.Length} are left, and a layout has at most {KvCacheLayout.MaxGroups} groups.");
            if (TryReadGroup(groupBytes[..(int)length], out LayerGroup? group) is { } groupError) return groupError;
            groups.Add(group!);
            groupBytes = groupBytes[(int)length..];
        }

        try
        {
            layout = new KvCacheLayout(new ModelIdentity(name, revision, theta, scaling), groups.ToImmutable());
            return null;
        }
        catch (KvLayoutException refused)
        {
            return new WireError(WireErrorCode.BadValue, refused.Message);
        }
    }

    internal static void WriteField(FieldWriter fields, ushort number, KvCacheLayout layout)
    {
        var output = new ArrayBufferWriter<byte>();
        Write(layout, output);
        fields.Bytes(number, output.WrittenSpan);
    }

    internal static KvCacheLayout? ReadField(ref FieldReader fields, ushort number)
    {
        ReadOnlySpan<byte> bytes = fields.Bytes(number, MaxLayoutBytes);
        if (fields.Error is not null) return null;
        if (TryRead(bytes, out KvCacheLayout? layout) is { } error) fields.Fail(error.Code, $"field {number}: {error.Message.TrimEnd('.')}");
        return layout;
    }

    private static void WriteGroup(LayerGroup group, FieldWriter fields)
    {
        fields.Byte(1, (byte)group.Kind);
        Span<byte> layers = fields.Begin(2, group.Layers.Length * sizeof(ushort));
        for (int i = 0; i < group.Layers.Length; i++) BinaryPrimitives.WriteUInt16LittleEndian(layers[(i * sizeof(ushort))..], (ushort)group.Layers[i]);
        fields.Int32(3, group.KvHeads);
        fields.Int32(4, group.HeadDim);
        fields.Int32(5, group.BlockTokens);
        fields.Int32(6, group.WindowTokens);
        fields.Byte(7, (byte)group.ElementType);
        fields.Byte(8, (byte)group.KeyScaleKind);
        fields.Byte(9, (byte)group.Order);
        if (group.ValueScaleKind != group.KeyScaleKind) fields.Byte(10, (byte)group.ValueScaleKind);
        if (group.ScaleType != ScaleType.Float32) fields.Byte(11, (byte)group.ScaleType);
    }

    private static WireError? TryReadGroup(ReadOnlySpan<byte> source, out LayerGroup? group)
    {
        group = null;
        var fields = new FieldReader(source, "Layer group");
        var kind = (AttentionKind)fields.Byte(1);
        ReadOnlySpan<byte> layerBytes = fields.Elements(2, sizeof(ushort), LayerGroup.MaxLayers);
        var layers = new int[layerBytes.Length / sizeof(ushort)];
        for (int i = 0; i < layers.Length; i++) layers[i] = BinaryPrimitives.ReadUInt16LittleEndian(layerBytes[(i * sizeof(ushort))..]);
        int heads = fields.Int32(3), dim = fields.Int32(4), block = fields.Int32(5), window = fields.Int32(6);
        var element = (ElementType)fields.Byte(7);
        var scale = (ScaleKind)fields.Byte(8);
        var order = (DimensionOrder)fields.Byte(9);
        // Left out where values have the scales of the keys, and where scales are fp32.
        ScaleKind valueScale = fields.Has(10) ? (ScaleKind)fields.Byte(10) : scale;
        ScaleType scaleType = fields.Has(11) ? (ScaleType)fields.Byte(11) : ScaleType.Float32;
        if (fields.End() is { } error) return error;
        // The group's own check reads sizes of the element type, so an undefined one is refused before.
        if (!element.IsDefined()) return WireError.Value("Element type", (byte)element, "1 to 6");
        var read = new LayerGroup
        {
            Kind = kind,
            Layers = [.. layers],
            KvHeads = heads,
            HeadDim = dim,
            BlockTokens = block,
            WindowTokens = window,
            ElementType = element,
            KeyScaleKind = scale,
            ValueScaleKind = valueScale,
            ScaleType = scaleType,
            Order = order,
        };
        try
        {
            read.Validate();
        }
        catch (KvLayoutException refused)
        {
            return new WireError(WireErrorCode.BadValue, refused.Message);
        }

        // Each field may be in range and the block still be larger than offsets inside it can say.
        long blockBytes = heads * ((long)read.Planes * block * read.RowBytes + read.Form(KvPlane.Key).ScaleBytes(block, dim) + read.Form(KvPlane.Value).ScaleBytes(block, dim));
        if (blockBytes > int.MaxValue) return WireError.Value("Block bytes", blockBytes, $"at most {int.MaxValue}");
        group = read;
        return null;
    }
}
