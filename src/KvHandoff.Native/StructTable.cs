using System.Runtime.InteropServices;

namespace KvHandoff.Native;

/// <summary>Offsets and sizes of the structs as this library has them: what a host's compiler made of the header is compared with it.</summary>
static unsafe partial class StructTable
{
    static readonly Dictionary<string, (uint Offset, uint Size)> s_entries = Build();

    [UnmanagedCallersOnly(EntryPoint = "kvh_struct_layout")]
    static int Layout(byte* name, uint* offset, uint* size)
    {
        try
        {
            if (size == null) return Failure.Report(Status.Null, "size is null.");
            *size = (uint)s_entries.Count;
            if (name == null) return Status.Ok;
            string key = Texts.Read(name);
            if (!s_entries.TryGetValue(key, out (uint Offset, uint Size) entry)) return Failure.Report(Status.Argument, $"There is no struct or field {key}.");
            if (offset != null) *offset = entry.Offset;
            *size = entry.Size;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    static Dictionary<string, (uint Offset, uint Size)> Build()
    {
        var table = new Dictionary<string, (uint Offset, uint Size)>();
        AddLayoutStructs(table);
        AddKernelStructs(table);
        AddSessionStructs(table);
        return table;
    }

    static void Add(Dictionary<string, (uint Offset, uint Size)> table, string name, void* start, void* field, int size) =>
        table.Add(name, ((uint)((byte*)field - (byte*)start), (uint)size));

    static void AddLayoutStructs(Dictionary<string, (uint Offset, uint Size)> table)
    {
        KvhModel model;
        Add(table, "kvh_model", &model, &model, sizeof(KvhModel));
        Add(table, "kvh_model.struct_size", &model, &model.StructSize, sizeof(uint));
        Add(table, "kvh_model.reserved", &model, &model.Reserved, sizeof(uint));
        Add(table, "kvh_model.name", &model, &model.Name, sizeof(nint));
        Add(table, "kvh_model.revision", &model, &model.Revision, sizeof(nint));
        Add(table, "kvh_model.rope_scaling", &model, &model.RopeScaling, sizeof(nint));
        Add(table, "kvh_model.rope_theta", &model, &model.RopeTheta, sizeof(double));
        KvhGroup group;
        Add(table, "kvh_group", &group, &group, sizeof(KvhGroup));
        Add(table, "kvh_group.struct_size", &group, &group.StructSize, sizeof(uint));
        Add(table, "kvh_group.kind", &group, &group.Kind, sizeof(int));
        Add(table, "kvh_group.layers", &group, &group.Layers, sizeof(nint));
        Add(table, "kvh_group.layer_count", &group, &group.LayerCount, sizeof(int));
        Add(table, "kvh_group.kv_heads", &group, &group.KvHeads, sizeof(int));
        Add(table, "kvh_group.head_dim", &group, &group.HeadDim, sizeof(int));
        Add(table, "kvh_group.block_tokens", &group, &group.BlockTokens, sizeof(int));
        Add(table, "kvh_group.window_tokens", &group, &group.WindowTokens, sizeof(int));
        Add(table, "kvh_group.element", &group, &group.Element, sizeof(int));
        Add(table, "kvh_group.key_scales", &group, &group.KeyScales, sizeof(int));
        Add(table, "kvh_group.value_scales", &group, &group.ValueScales, sizeof(int));
        Add(table, "kvh_group.scale_type", &group, &group.ScaleType, sizeof(int));
        Add(table, "kvh_group.order", &group, &group.Order, sizeof(int));
        KvhPreset preset;
        Add(table, "kvh_preset", &preset, &preset, sizeof(KvhPreset));
        Add(table, "kvh_preset.struct_size", &preset, &preset.StructSize, sizeof(uint));
        Add(table, "kvh_preset.engine", &preset, &preset.Engine, sizeof(int));
        Add(table, "kvh_preset.layers", &preset, &preset.Layers, sizeof(int));
        Add(table, "kvh_preset.kv_heads", &preset, &preset.KvHeads, sizeof(int));
        Add(table, "kvh_preset.head_dim", &preset, &preset.HeadDim, sizeof(int));
        Add(table, "kvh_preset.element", &preset, &preset.Element, sizeof(int));
        Add(table, "kvh_preset.block_tokens", &preset, &preset.BlockTokens, sizeof(int));
        Add(table, "kvh_preset.head_major", &preset, &preset.HeadMajor, sizeof(int));
        KvhLayoutInfo layoutInfo;
        Add(table, "kvh_layout_info", &layoutInfo, &layoutInfo, sizeof(KvhLayoutInfo));
        Add(table, "kvh_layout_info.struct_size", &layoutInfo, &layoutInfo.StructSize, sizeof(uint));
        Add(table, "kvh_layout_info.groups", &layoutInfo, &layoutInfo.Groups, sizeof(int));
        Add(table, "kvh_layout_info.layers", &layoutInfo, &layoutInfo.Layers, sizeof(int));
        Add(table, "kvh_layout_info.reserved", &layoutInfo, &layoutInfo.Reserved, sizeof(int));
        Add(table, "kvh_layout_info.bytes_per_token", &layoutInfo, &layoutInfo.BytesPerToken, sizeof(long));
        KvhGeometry geometry;
        Add(table, "kvh_geometry", &geometry, &geometry, sizeof(KvhGeometry));
        Add(table, "kvh_geometry.struct_size", &geometry, &geometry.StructSize, sizeof(uint));
        Add(table, "kvh_geometry.layers", &geometry, &geometry.Layers, sizeof(int));
        Add(table, "kvh_geometry.kv_heads", &geometry, &geometry.KvHeads, sizeof(int));
        Add(table, "kvh_geometry.head_dim", &geometry, &geometry.HeadDim, sizeof(int));
        Add(table, "kvh_geometry.block_tokens", &geometry, &geometry.BlockTokens, sizeof(int));
        Add(table, "kvh_geometry.planes", &geometry, &geometry.Planes, sizeof(int));
        Add(table, "kvh_geometry.block_bytes", &geometry, &geometry.BlockBytes, sizeof(long));
        Add(table, "kvh_geometry.plane_bytes", &geometry, &geometry.PlaneBytes, sizeof(long));
        Add(table, "kvh_geometry.row_bytes", &geometry, &geometry.RowBytes, sizeof(long));
        Add(table, "kvh_geometry.key_offset", &geometry, &geometry.KeyOffset, sizeof(long));
        Add(table, "kvh_geometry.key_head_stride", &geometry, &geometry.KeyHeadStride, sizeof(long));
        Add(table, "kvh_geometry.key_token_stride", &geometry, &geometry.KeyTokenStride, sizeof(long));
        Add(table, "kvh_geometry.value_offset", &geometry, &geometry.ValueOffset, sizeof(long));
        Add(table, "kvh_geometry.value_head_stride", &geometry, &geometry.ValueHeadStride, sizeof(long));
        Add(table, "kvh_geometry.value_token_stride", &geometry, &geometry.ValueTokenStride, sizeof(long));
        KvhLink link;
        Add(table, "kvh_link", &link, &link, sizeof(KvhLink));
        Add(table, "kvh_link.struct_size", &link, &link.StructSize, sizeof(uint));
        Add(table, "kvh_link.codec", &link, &link.Codec, sizeof(int));
        Add(table, "kvh_link.latency_seconds", &link, &link.LatencySeconds, sizeof(double));
        Add(table, "kvh_link.bytes_per_second", &link, &link.BytesPerSecond, sizeof(double));
        Add(table, "kvh_link.messages_per_second", &link, &link.MessagesPerSecond, sizeof(double));
        Add(table, "kvh_link.prefill_tokens_per_second", &link, &link.PrefillTokensPerSecond, sizeof(double));
        KvhEstimate estimate;
        Add(table, "kvh_estimate", &estimate, &estimate, sizeof(KvhEstimate));
        Add(table, "kvh_estimate.struct_size", &estimate, &estimate.StructSize, sizeof(uint));
        Add(table, "kvh_estimate.transfer_pays", &estimate, &estimate.TransferPays, sizeof(int));
        Add(table, "kvh_estimate.kv_bytes", &estimate, &estimate.KvBytes, sizeof(long));
        Add(table, "kvh_estimate.wire_bytes", &estimate, &estimate.WireBytes, sizeof(long));
        Add(table, "kvh_estimate.max_wire_bytes", &estimate, &estimate.MaxWireBytes, sizeof(long));
        Add(table, "kvh_estimate.frames", &estimate, &estimate.Frames, sizeof(long));
        Add(table, "kvh_estimate.expected_ms", &estimate, &estimate.ExpectedMs, sizeof(double));
        Add(table, "kvh_estimate.pessimistic_ms", &estimate, &estimate.PessimisticMs, sizeof(double));
        Add(table, "kvh_estimate.recompute_ms", &estimate, &estimate.RecomputeMs, sizeof(double));
        Add(table, "kvh_estimate.exposed_ms", &estimate, &estimate.ExposedMs, sizeof(double));
        KvhCacheOptions cacheOptions;
        Add(table, "kvh_cache_options", &cacheOptions, &cacheOptions, sizeof(KvhCacheOptions));
        Add(table, "kvh_cache_options.struct_size", &cacheOptions, &cacheOptions.StructSize, sizeof(uint));
        Add(table, "kvh_cache_options.flags", &cacheOptions, &cacheOptions.Flags, sizeof(uint));
        Add(table, "kvh_cache_options.tokens", &cacheOptions, &cacheOptions.Tokens, sizeof(long));
        Add(table, "kvh_cache_options.sequences", &cacheOptions, &cacheOptions.Sequences, sizeof(int));
        Add(table, "kvh_cache_options.reserved", &cacheOptions, &cacheOptions.Reserved, sizeof(int));
        Add(table, "kvh_cache_options.released", &cacheOptions, &cacheOptions.Released, sizeof(nint));
        Add(table, "kvh_cache_options.released_user", &cacheOptions, &cacheOptions.ReleasedUser, sizeof(nint));
        KvhGroupMemory groupMemory;
        Add(table, "kvh_group_memory", &groupMemory, &groupMemory, sizeof(KvhGroupMemory));
        Add(table, "kvh_group_memory.struct_size", &groupMemory, &groupMemory.StructSize, sizeof(uint));
        Add(table, "kvh_group_memory.blocks", &groupMemory, &groupMemory.Blocks, sizeof(int));
        Add(table, "kvh_group_memory.base", &groupMemory, &groupMemory.Base, sizeof(nint));
        Add(table, "kvh_group_memory.length_bytes", &groupMemory, &groupMemory.LengthBytes, sizeof(long));
        Add(table, "kvh_group_memory.offset_bytes", &groupMemory, &groupMemory.OffsetBytes, sizeof(long));
        Add(table, "kvh_group_memory.layer_stride_bytes", &groupMemory, &groupMemory.LayerStrideBytes, sizeof(long));
        Add(table, "kvh_group_memory.block_stride_bytes", &groupMemory, &groupMemory.BlockStrideBytes, sizeof(long));
        Add(table, "kvh_group_memory.values_offset_bytes", &groupMemory, &groupMemory.ValuesOffsetBytes, sizeof(long));
        Add(table, "kvh_group_memory.layer_bases", &groupMemory, &groupMemory.LayerBases, sizeof(nint));
        Add(table, "kvh_group_memory.value_bases", &groupMemory, &groupMemory.ValueBases, sizeof(nint));
        Add(table, "kvh_group_memory.base_count", &groupMemory, &groupMemory.BaseCount, sizeof(int));
        Add(table, "kvh_group_memory.reserved", &groupMemory, &groupMemory.Reserved, sizeof(int));
        KvhCacheInfo cacheInfo;
        Add(table, "kvh_cache_info", &cacheInfo, &cacheInfo, sizeof(KvhCacheInfo));
        Add(table, "kvh_cache_info.struct_size", &cacheInfo, &cacheInfo.StructSize, sizeof(uint));
        Add(table, "kvh_cache_info.reserved", &cacheInfo, &cacheInfo.Reserved, sizeof(int));
        Add(table, "kvh_cache_info.free_tokens", &cacheInfo, &cacheInfo.FreeTokens, sizeof(long));
        Add(table, "kvh_cache_info.used_blocks", &cacheInfo, &cacheInfo.UsedBlocks, sizeof(long));
        KvhBlockSpan blockSpan;
        Add(table, "kvh_block_span", &blockSpan, &blockSpan, sizeof(KvhBlockSpan));
        Add(table, "kvh_block_span.blocks", &blockSpan, &blockSpan.Blocks, sizeof(nint));
        Add(table, "kvh_block_span.count", &blockSpan, &blockSpan.Count, sizeof(long));
        KvhSequenceInfo sequenceInfo;
        Add(table, "kvh_sequence_info", &sequenceInfo, &sequenceInfo, sizeof(KvhSequenceInfo));
        Add(table, "kvh_sequence_info.struct_size", &sequenceInfo, &sequenceInfo.StructSize, sizeof(uint));
        Add(table, "kvh_sequence_info.tokens", &sequenceInfo, &sequenceInfo.Tokens, sizeof(int));
        Add(table, "kvh_sequence_info.capacity", &sequenceInfo, &sequenceInfo.Capacity, sizeof(int));
        Add(table, "kvh_sequence_info.reserved", &sequenceInfo, &sequenceInfo.Reserved, sizeof(int));
    }

    static void AddKernelStructs(Dictionary<string, (uint Offset, uint Size)> table)
    {
        KvhSegment segment;
        Add(table, "kvh_segment", &segment, &segment, sizeof(KvhSegment));
        Add(table, "kvh_segment.struct_size", &segment, &segment.StructSize, sizeof(uint));
        Add(table, "kvh_segment.codec", &segment, &segment.Codec, sizeof(int));
        Add(table, "kvh_segment.tokens", &segment, &segment.Tokens, sizeof(int));
        Add(table, "kvh_segment.head_dim", &segment, &segment.HeadDim, sizeof(int));
        Add(table, "kvh_segment.element", &segment, &segment.Element, sizeof(int));
        Add(table, "kvh_segment.plane", &segment, &segment.Plane, sizeof(int));
        KvhRows rows;
        Add(table, "kvh_rows", &rows, &rows, sizeof(KvhRows));
        Add(table, "kvh_rows.struct_size", &rows, &rows.StructSize, sizeof(uint));
        Add(table, "kvh_rows.element", &rows, &rows.Element, sizeof(int));
        Add(table, "kvh_rows.stride_bytes", &rows, &rows.StrideBytes, sizeof(long));
        Add(table, "kvh_rows.rows", &rows, &rows.Rows, sizeof(int));
        Add(table, "kvh_rows.row_length", &rows, &rows.RowLength, sizeof(int));
        Add(table, "kvh_rows.code", &rows, &rows.Code, sizeof(int));
        Add(table, "kvh_rows.scale_type", &rows, &rows.ScaleType, sizeof(int));
        KvhAttention attention;
        Add(table, "kvh_attention", &attention, &attention, sizeof(KvhAttention));
        Add(table, "kvh_attention.struct_size", &attention, &attention.StructSize, sizeof(uint));
        Add(table, "kvh_attention.flags", &attention, &attention.Flags, sizeof(uint));
        Add(table, "kvh_attention.layer", &attention, &attention.Layer, sizeof(int));
        Add(table, "kvh_attention.tokens", &attention, &attention.Tokens, sizeof(int));
        Add(table, "kvh_attention.query_heads", &attention, &attention.QueryHeads, sizeof(int));
        Add(table, "kvh_attention.query_tokens", &attention, &attention.QueryTokens, sizeof(int));
        Add(table, "kvh_attention.latent_dim", &attention, &attention.LatentDim, sizeof(int));
        Add(table, "kvh_attention.window_tokens", &attention, &attention.WindowTokens, sizeof(int));
        Add(table, "kvh_attention.start_token", &attention, &attention.StartToken, sizeof(int));
        Add(table, "kvh_attention.end_token", &attention, &attention.EndToken, sizeof(int));
        Add(table, "kvh_attention.query_position", &attention, &attention.QueryPosition, sizeof(int));
        Add(table, "kvh_attention.weights", &attention, &attention.Weights, sizeof(int));
        Add(table, "kvh_attention.softmax_scale", &attention, &attention.SoftmaxScale, sizeof(float));
        Add(table, "kvh_attention.logit_cap", &attention, &attention.LogitCap, sizeof(float));
        Add(table, "kvh_attention.sinks", &attention, &attention.Sinks, sizeof(nint));
        KvhCanaryPair canaryPair;
        Add(table, "kvh_canary_pair", &canaryPair, &canaryPair, sizeof(KvhCanaryPair));
        Add(table, "kvh_canary_pair.struct_size", &canaryPair, &canaryPair.StructSize, sizeof(uint));
        Add(table, "kvh_canary_pair.layer", &canaryPair, &canaryPair.Layer, sizeof(int));
        Add(table, "kvh_canary_pair.head", &canaryPair, &canaryPair.Head, sizeof(int));
        Add(table, "kvh_canary_pair.has_sink", &canaryPair, &canaryPair.HasSink, sizeof(int));
        Add(table, "kvh_canary_pair.query", &canaryPair, &canaryPair.Query, sizeof(nint));
        Add(table, "kvh_canary_pair.output", &canaryPair, &canaryPair.Output, sizeof(nint));
        Add(table, "kvh_canary_pair.sink", &canaryPair, &canaryPair.Sink, sizeof(float));
        Add(table, "kvh_canary_pair.reserved", &canaryPair, &canaryPair.Reserved, sizeof(int));
        KvhCanary canary;
        Add(table, "kvh_canary", &canary, &canary, sizeof(KvhCanary));
        Add(table, "kvh_canary.struct_size", &canary, &canary.StructSize, sizeof(uint));
        Add(table, "kvh_canary.seeded", &canary, &canary.Seeded, sizeof(int));
        Add(table, "kvh_canary.pairs", &canary, &canary.Pairs, sizeof(nint));
        Add(table, "kvh_canary.pair_count", &canary, &canary.PairCount, sizeof(int));
        Add(table, "kvh_canary.query_heads", &canary, &canary.QueryHeads, sizeof(int));
        Add(table, "kvh_canary.tokens", &canary, &canary.Tokens, sizeof(int));
        Add(table, "kvh_canary.latent_dim", &canary, &canary.LatentDim, sizeof(int));
        Add(table, "kvh_canary.softmax_scale", &canary, &canary.SoftmaxScale, sizeof(float));
        Add(table, "kvh_canary.logit_cap", &canary, &canary.LogitCap, sizeof(float));
    }
}
