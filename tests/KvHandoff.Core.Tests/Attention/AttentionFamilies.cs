using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>A few groups in which every way to read rows comes up: in place, with scales and tails, unpacked, and dimensions that fit no vector.</summary>
static class AttentionFamilies
{
    public static TheoryData<string> Names => ["bf16", "fp16", "fp32", "fp32-7", "bf16-48", "fp8", "fp8-heads", "int8", "int8-bf16", "int8-tensor", "mxfp8", "packed", "transposed"];

    /// <summary>Two kv heads of 64 elements, unless the name says otherwise.</summary>
    public static LayerGroup Group(string name) => name switch
    {
        "bf16" => StoredForms.Plain(ElementType.BFloat16),
        "fp16" => StoredForms.Plain(ElementType.Float16, blockTokens: 16, order: DimensionOrder.TokenMajor),
        "fp32" => StoredForms.Plain(ElementType.Float32, dim: 80, blockTokens: 128, order: DimensionOrder.PlaneHeadMajor),
        "fp32-7" => StoredForms.Plain(ElementType.Float32, dim: 7, blockTokens: 100),
        "bf16-48" => StoredForms.Plain(ElementType.BFloat16, dim: 96, blockTokens: 48),
        "fp8" => StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, dim: 128),
        "fp8-heads" => StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerHead, ScaleKind.PerTensor, order: DimensionOrder.TokenMajor),
        "int8" => StoredForms.Scaled(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead, dim: 128),
        "int8-bf16" => StoredForms.Scaled(ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerChannelTile, ScaleType.BFloat16, blockTokens: 16),
        "int8-tensor" => StoredForms.Scaled(ElementType.Int8, ScaleKind.PerTensor, ScaleKind.PerTensor, blockTokens: 32),
        "mxfp8" => StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32, ScaleType.E8M0),
        "packed" => StoredForms.Plain(ElementType.BFloat16, blockTokens: 16, order: DimensionOrder.PackedKey),
        "transposed" => StoredForms.Scaled(ElementType.Fp8E5M2, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, order: DimensionOrder.TransposedKey),
        _ => throw new ArgumentException(name),
    };
}
