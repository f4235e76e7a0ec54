using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Native;

/// <summary>A description of a cache. What is made of it keeps its own copy.</summary>
sealed class NativeLayout(KvCacheLayout layout) : NativeObject
{
    internal KvCacheLayout Layout => layout;

    protected override void Free()
    {
    }
}

/// <summary>Layouts: described group by group, or an engine's own.</summary>
static unsafe class LayoutExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_create")]
    static int Create(KvhModel* model, KvhGroup* groups, int groupCount, ulong* layout)
    {
        try
        {
            LibraryState.Require();
            HostStructs.RequireNotNull(layout);
            HostStructs.RequireNotNull(groups);
            HostStructs.RequireRange(groupCount, 1, KvCacheLayout.MaxGroups, "group_count");
            var described = ImmutableArray.CreateBuilder<LayerGroup>(groupCount);
            for (int g = 0; g < groupCount; g++) described.Add(GroupOf(HostStructs.ReadAt(groups, g)));
            *layout = HandleTable.Add(new NativeLayout(new KvCacheLayout(ModelOf(model), described.MoveToImmutable())));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_preset")]
    static int Preset(KvhModel* model, KvhPreset* preset, ulong* layout)
    {
        try
        {
            LibraryState.Require();
            HostStructs.RequireNotNull(layout);
            *layout = HandleTable.Add(new NativeLayout(new KvCacheLayout(ModelOf(model), [PresetOf(HostStructs.Read(preset))])));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_text")]
    static int Text(ulong layout, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            return Texts.Write(pin.Target.Layout.ToString(), buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_describe")]
    static int Describe(ulong layout, KvhLayoutInfo* info)
    {
        try
        {
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            KvCacheLayout described = pin.Target.Layout;
            HostStructs.Write(info, new KvhLayoutInfo { Groups = described.Groups.Length, Layers = described.LayerCount, BytesPerToken = described.BytesPerToken });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_bytes")]
    static int Bytes(ulong layout, long tokens, long* bytes)
    {
        try
        {
            HostStructs.RequireNotNull(bytes);
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            if (tokens < 0 || tokens > 1L << 32) throw new StatusException(Status.Argument, $"tokens is {tokens}; allowed: 0 to {1L << 32}.");
            *bytes = pin.Target.Layout.BytesForTokens(tokens);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_layout_geometry")]
    static int Geometry(ulong layout, int group, KvhGeometry* geometry)
    {
        try
        {
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            HostStructs.RequireRange(group, 0, pin.Target.Layout.Groups.Length - 1, "group");
            LayerGroup described = pin.Target.Layout.Groups[group];
            BlockGeometry block = described.Geometry;
            PlaneGeometry keys = block.Plane(KvPlane.Key), values = block.Plane(block.Planes == 2 ? KvPlane.Value : KvPlane.Key);
            HostStructs.Write(geometry, new KvhGeometry
            {
                Layers = described.Layers.Length,
                KvHeads = block.KvHeads,
                HeadDim = block.HeadDim,
                BlockTokens = block.BlockTokens,
                Planes = block.Planes,
                BlockBytes = block.BlockBytes,
                PlaneBytes = block.PlaneBytes,
                RowBytes = block.RowBytes,
                KeyOffset = keys.OffsetBytes,
                KeyHeadStride = keys.HeadStrideBytes,
                KeyTokenStride = keys.TokenStrideBytes,
                ValueOffset = values.OffsetBytes,
                ValueHeadStride = values.HeadStrideBytes,
                ValueTokenStride = values.TokenStrideBytes,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    static ModelIdentity ModelOf(KvhModel* model)
    {
        KvhModel m = HostStructs.Read(model);
        return new ModelIdentity(Texts.Read(m.Name), Texts.Read(m.Revision), m.RopeTheta, Texts.Read(m.RopeScaling));
    }

    static LayerGroup GroupOf(KvhGroup g)
    {
        HostStructs.RequireRange(g.LayerCount, 1, LayerGroup.MaxLayers, "layer_count");
        return new LayerGroup
        {
            Kind = (AttentionKind)HostStructs.RequireEnum(g.Kind == 0 ? 1 : g.Kind, 1, 3, "kind"),
            Layers = g.Layers == null ? [.. Enumerable.Range(0, g.LayerCount)] : [.. new ReadOnlySpan<int>(g.Layers, g.LayerCount)],
            KvHeads = g.KvHeads,
            HeadDim = g.HeadDim,
            BlockTokens = g.BlockTokens == 0 ? 64 : g.BlockTokens,
            WindowTokens = g.WindowTokens,
            ElementType = ElementOf(g.Element),
            KeyScaleKind = (ScaleKind)HostStructs.RequireEnum(g.KeyScales, 0, 5, "key_scales"),
            ValueScaleKind = (ScaleKind)HostStructs.RequireEnum(g.ValueScales, 0, 5, "value_scales"),
            ScaleType = (ScaleType)HostStructs.RequireEnum(g.ScaleType == 0 ? 1 : g.ScaleType, 1, 3, "scale_type"),
            Order = (DimensionOrder)HostStructs.RequireEnum(g.Order == 0 ? 1 : g.Order, 1, 5, "order"),
        };
    }

    static LayerGroup PresetOf(KvhPreset p)
    {
        HostStructs.RequireEnum(p.Engine, 1, 7, "engine");
        HostStructs.RequireRange(p.Layers, 1, LayerGroup.MaxLayers, "layers");
        var shape = new EngineCacheShape(p.Layers, p.KvHeads, p.HeadDim, ElementOf(p.Element));
        int Blocks(int usual) => p.BlockTokens == 0 ? usual : p.BlockTokens;
        bool headMajor = p.HeadMajor != 0;
        return p.Engine switch
        {
            1 => EngineLayouts.VllmFlashAttention(shape, Blocks(16), headMajor),
            2 => EngineLayouts.VllmFlashInfer(shape, Blocks(16), headMajor),
            3 => EngineLayouts.VllmPagedAttention(shape, Blocks(16)),
            4 => EngineLayouts.VllmLatent(shape, Blocks(64)),
            5 => EngineLayouts.SglangTokenPool(shape, Blocks(1)),
            6 => EngineLayouts.SglangLatentPool(shape, Blocks(1)),
            _ => EngineLayouts.TensorRtLlm(shape, Blocks(32)),
        };
    }

    internal static ElementType ElementOf(int element) => element == 0 ? ElementType.BFloat16 : (ElementType)HostStructs.RequireEnum(element, 1, 6, "element");
}
