using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>Finds what a step reads: addresses of rows and scales, factors, masks. Owns a worker's memory.</summary>
readonly unsafe ref struct TileReader
{
    readonly KvLayerView _view;
    readonly AttentionWork _work;
    readonly StorageForm _keyForm, _valueForm;
    readonly int* _from, _to;
    readonly byte* _keyScales, _valueScales, _unpacked;
    readonly long _keyStride, _valueStride, _tailStride;
    readonly bool _latent;

    internal TileReader(in KvLayerView view, in AttentionWork work, byte* memory)
    {
        LayerGroup group = view.Group;
        _view = view;
        _work = work;
        _latent = group.Planes == 1;
        _keyForm = group.Form(KvPlane.Key);
        _valueForm = _latent ? _keyForm : group.Form(KvPlane.Value);
        _keyStride = view.Geometry.Plane(KvPlane.Key).TokenStrideBytes;
        _valueStride = _latent ? _keyStride : view.Geometry.Plane(KvPlane.Value).TokenStrideBytes;
        _tailStride = group.HeadDim * sizeof(ushort);
        _from = (int*)memory;
        _to = (int*)(memory + work.HeadStatisticsBytes);
        _keyScales = memory + 2 * work.HeadStatisticsBytes;
        _valueScales = _keyScales + work.ScaleBytes;
        _unpacked = _valueScales + work.ScaleBytes;
        Scratch = _unpacked + work.UnpackedBytes;
    }

    /// <summary>The kernel's scratch.</summary>
    internal readonly byte* Scratch { get; }

    /// <summary>Fills in everything but the query and the state.</summary>
    internal void Read(scoped in TileWalk walk, scoped in TileItem item, scoped in TileItem next, ref AttendTile tile)
    {
        tile.Tokens = item.Tokens;
        tile.LogitFactor = _work.Plan.LogitFactor;
        tile.KeyScales = tile.ValueScales = tile.KeyChannelScales = tile.ValueChannelScales = null;
        tile.NextKeys = tile.NextValues = null;
        tile.NextTokens = 0;
        See(item, ref tile);
        if (_work.Unpacks)
        {
            Unpack(item, ref tile);
            return;
        }

        tile.Keys = walk.Row(item, KvPlane.Key);
        tile.Values = _latent ? tile.Keys : walk.Row(item, KvPlane.Value);
        (tile.KeyStrideBytes, tile.ValueStrideBytes) = item.InTail ? (_tailStride, _tailStride) : (_keyStride, _valueStride);
        if (next.Tokens != 0 && next.InTail == item.InTail)
        {
            tile.NextKeys = walk.Row(next, KvPlane.Key);
            tile.NextValues = _latent ? tile.NextKeys : walk.Row(next, KvPlane.Value);
            tile.NextTokens = next.Tokens;
        }

        if (item.InTail) return;
        tile.LogitFactor *= _view.StaticScale(item.Head, KvPlane.Key);
        Scale(walk, item, _keyForm, KvPlane.Key, _keyScales, ref tile.KeyScales, ref tile.KeyChannelScales);
        if (_latent)
        {
            tile.ValueScales = tile.KeyScales;
            tile.ValueChannelScales = tile.KeyChannelScales;
            return;
        }

        Scale(walk, item, _valueForm, KvPlane.Value, _valueScales, ref tile.ValueScales, ref tile.ValueChannelScales);
    }

    void See(scoped in TileItem item, ref AttendTile tile)
    {
        AttentionPlan plan = _work.Plan;
        int end = item.FirstToken + item.Tokens;
        tile.VisibleFrom = tile.VisibleTo = null;
        if (plan.SeesAll(item.FirstToken, end)) return;
        tile.VisibleFrom = _from;
        tile.VisibleTo = _to;
        for (int token = 0; token < plan.QueryTokens; token++)
        {
            (int from, int to) = plan.Visible(token, item.FirstToken, end);
            new Span<int>(_from + token * plan.GroupHeads, plan.GroupHeads).Fill(from);
            new Span<int>(_to + token * plan.GroupHeads, plan.GroupHeads).Fill(to);
        }
    }

    void Unpack(scoped in TileItem item, ref AttendTile tile)
    {
        int keyBytes = _work.Plan.KeyDim * sizeof(float), rowBytes = _view.Group.HeadDim * sizeof(float);
        (tile.KeyStrideBytes, tile.ValueStrideBytes) = (keyBytes, rowBytes);
        tile.Keys = tile.Values = _unpacked;
        StoredRows.Unpack(_view, item.Head, KvPlane.Key, item.FirstToken, Rows(_unpacked, item.Tokens, keyBytes), ElementType.Float32);
        if (_latent) return;
        tile.Values = _unpacked + (long)AttendTile.MostTokens * keyBytes;
        StoredRows.Unpack(_view, item.Head, KvPlane.Value, item.FirstToken, Rows(tile.Values, item.Tokens, rowBytes), ElementType.Float32);
    }

    static RowRuns Rows(byte* first, int tokens, int rowBytes) => new(new Span<byte>(first, tokens * rowBytes), rowBytes);

    // Scales are used where they lie if they are fp32.
    static void Scale(scoped in TileWalk walk, scoped in TileItem item, in StorageForm form, KvPlane plane, byte* widened, ref float* perToken, ref float* perChannel)
    {
        if (!form.HasStoredScales) return;
        byte* scales = walk.Scales(item, form, plane);
        bool channels = form.ScaleKind == ScaleKind.PerChannelTile;
        if (form.ScaleType == ScaleType.BFloat16)
        {
            int count = channels ? walk.HeadDim : item.Tokens;
            ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(new ReadOnlySpan<byte>(scales, count * sizeof(ushort))), new Span<float>(widened, count));
            scales = widened;
        }

        if (channels) perChannel = (float*)scales;
        else perToken = (float*)scales;
    }
}
