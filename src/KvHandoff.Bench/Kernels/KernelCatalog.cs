using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>Every kernel that is measured but attention.</summary>
internal static class KernelCatalog
{
    private const string Packed = "BF16 in", Unpacked = "BF16 out", Rows = "BF16 rows";
    private const string Synthetic = "seeded rows of 128, channel outliers", ReferenceKeys = "reference model K of 64, layers 2 and up", ReferenceValues = "reference model V of 64, layers 2 and up";
    private const string Blocks = "seeded cache of 8 kv heads x 128, blocks in random order";
    private const string Pack = "pack", Unpack = "unpack", Gather = "gather", Fused = "fused", Checksum = "checksum", Window = "exponent-window", Lz4 = "lz4";
    private const int SyntheticDim = 128, ReferenceDim = 64, BlockTokens = FusedWorkload.BlockTokens;

    private static readonly StorageForm Fp8Token = Form(ElementType.Fp8E4M3, ScaleKind.PerTokenHead), Fp8Static = Form(ElementType.Fp8E4M3, ScaleKind.PerTensor);
    private static readonly StorageForm Int8Token = Form(ElementType.Int8, ScaleKind.PerTokenHead), Int8Channel = Form(ElementType.Int8, ScaleKind.PerChannelTile);
    private static readonly StorageForm MxFp8 = Form(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleType.E8M0);

    /// <summary>In the order in which results list them.</summary>
    internal static IReadOnlyList<KernelDefinition> All { get; } =
    [
        PackOf("pack bf16->e4m3 token-head", Fp8Token, RowSource.SyntheticKeys),
        PackOf("pack bf16->int8 token-head", Int8Token, RowSource.SyntheticKeys),
        PackOf("pack bf16->int8 channel-tile", Int8Channel, RowSource.SyntheticKeys),
        PackOf("pack bf16->mxfp8", MxFp8, RowSource.SyntheticKeys),
        PackOf("pack bf16->e4m3 static", Fp8Static, RowSource.SyntheticKeys),
        PackOf("pack bf16->e4m3 token-head, model K", Fp8Token, RowSource.ReferenceKeys),
        PackOf("pack bf16->int8 channel-tile, model K", Int8Channel, RowSource.ReferenceKeys),
        UnpackOf("unpack e4m3->bf16 token-head", Fp8Token),
        UnpackOf("unpack int8->bf16 token-head", Int8Token),
        UnpackOf("unpack int8->bf16 channel-tile", Int8Channel),
        UnpackOf("unpack mxfp8->bf16", MxFp8),
        GatherOf("gather nhd 16->canonical", DimensionOrder.TokenMajor, scatters: false),
        GatherOf("gather packed-key 16->canonical", DimensionOrder.PackedKey, scatters: false),
        GatherOf("scatter canonical->nhd 16", DimensionOrder.TokenMajor, scatters: true),
        FusedOf("fused gather+permute+pack+crc, e4m3 token-head", StoresFp8, "pack bf16->e4m3 token-head"),
        FusedOf("fused gather+permute+pack+crc, int8", StoresInt8, "pack bf16->int8"),
        FusedOf("fused gather+permute+crc, bf16", group => group, null),
        new(Checksum, "crc-32c", Synthetic, Rows, size => ShapeOf(RowSource.SyntheticKeys, size).Bytes,
            (buffers, size) => new ChecksumWorkload(buffers, ShapeOf(RowSource.SyntheticKeys, size), RowSource.SyntheticKeys))
        {
            MemorySuffix = " from memory",
        },
        CodecOf(Window, "exponent-window encode, model K", KvCodecs.ExponentWindow, RowSource.ReferenceKeys, decodes: false),
        CodecOf(Window, "exponent-window encode, model V", KvCodecs.ExponentWindow, RowSource.ReferenceValues, decodes: false),
        CodecOf(Window, "exponent-window decode, model K", KvCodecs.ExponentWindow, RowSource.ReferenceKeys, decodes: true),
        CodecOf(Window, "exponent-window decode, model V", KvCodecs.ExponentWindow, RowSource.ReferenceValues, decodes: true),
        CodecOf(Lz4, "lz4 encode, model K", KvCodecs.Lz4, RowSource.ReferenceKeys, decodes: false) with { Implementation = "liblz4" },
        CodecOf(Lz4, "lz4 decode, model K", KvCodecs.Lz4, RowSource.ReferenceKeys, decodes: true) with { Implementation = "liblz4" },
    ];

    /// <summary>The kernels of one suite.</summary>
    internal static IEnumerable<KernelDefinition> OfGroup(string group) => All.Where(k => k.Group == group);

    /// <summary>The kernel of that name.</summary>
    internal static KernelDefinition Find(string baseName) => All.Single(k => k.BaseName == baseName);

    private static StorageForm Form(ElementType code, ScaleKind kind, ScaleType scale = ScaleType.Float32) => new(code, kind, scale, KvSegment.GranuleTokens);

    private static LayerGroup StoresFp8(LayerGroup group) =>
        group with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead };

    private static LayerGroup StoresInt8(LayerGroup group) =>
        group with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerChannelTile, ValueScaleKind = ScaleKind.PerTokenHead };

    private static KernelShape ShapeOf(RowSource source, KernelSize size) => source is RowSource.ReferenceKeys or RowSource.ReferenceValues
        ? KernelShape.Of(size, ReferenceDim, anyHeadDim: false)
        : KernelShape.Of(size, SyntheticDim, anyHeadDim: true);

    private static string DataOf(RowSource source) => source switch
    {
        RowSource.ReferenceKeys => ReferenceKeys,
        RowSource.ReferenceValues => ReferenceValues,
        _ => Synthetic,
    };

    private static KernelDefinition PackOf(string name, StorageForm form, RowSource source) =>
        new(Pack, name, DataOf(source), Packed, size => ShapeOf(source, size).Bytes, (buffers, size) => new PackingWorkload(buffers, ShapeOf(source, size), source, form, unpacks: false));

    private static KernelDefinition UnpackOf(string name, StorageForm form) => new(Unpack, name, Synthetic, Unpacked, size => ShapeOf(RowSource.SyntheticKeys, size).Bytes,
        (buffers, size) => new PackingWorkload(buffers, ShapeOf(RowSource.SyntheticKeys, size), RowSource.SyntheticKeys, form, unpacks: true));

    private static KernelDefinition GatherOf(string name, DimensionOrder order, bool scatters) =>
        new(Gather, name, Blocks, Rows, size => BlockRows.BytesOf(size, order, BlockTokens),
            (buffers, size) => new GatherWorkload(buffers, size, order, BlockTokens, scatters));

    private static KernelDefinition FusedOf(string name, Func<LayerGroup, LayerGroup> stored, string? pack) =>
        new(Fused, name, Blocks, Rows, size => BlockRows.BytesOf(size, DimensionOrder.TokenMajor, BlockTokens), (buffers, size) => new FusedWorkload(buffers, size, stored, pack));

    private static KernelDefinition CodecOf(string group, string name, IKvCodec codec, RowSource source, bool decodes) =>
        new(group, name, DataOf(source), Rows, size => ShapeOf(source, size).Bytes, (buffers, size) => new CodecWorkload(buffers, ShapeOf(source, size), codec, source, decodes));
}
