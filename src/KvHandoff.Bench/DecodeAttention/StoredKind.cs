using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>How rows are stored.</summary>
/// <param name="Name">As results name it.</param>
/// <param name="ElementType">Type of the elements.</param>
/// <param name="Keys">What the scales of keys cover.</param>
/// <param name="Values">What those of values cover.</param>
internal sealed record StoredKind(string Name, ElementType ElementType, ScaleKind Keys = ScaleKind.None, ScaleKind Values = ScaleKind.None)
{
    internal static StoredKind BFloat16 { get; } = new("bf16", ElementType.BFloat16);

    internal static StoredKind Fp8TokenHead { get; } = new("e4m3 token-head", ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead);

    /// <summary>Keys scaled per channel of a tile, values per token.</summary>
    internal static StoredKind Int8 { get; } = new("int8", ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead);

    internal static IReadOnlyList<StoredKind> All { get; } =
    [
        new("fp32", ElementType.Float32), new("fp16", ElementType.Float16), BFloat16, Fp8TokenHead, new("e4m3", ElementType.Fp8E4M3),
        new("e4m3 static", ElementType.Fp8E4M3, ScaleKind.PerTensor, ScaleKind.PerTensor), Int8, new("int8 token-head", ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
    ];

    /// <summary>Whether storing rounds.</summary>
    internal bool IsQuantised => ElementType.SizeBytes() == 1;

    /// <summary>A BF16 group in this form.</summary>
    internal LayerGroup Of(LayerGroup group) => group with { ElementType = ElementType, KeyScaleKind = Keys, ValueScaleKind = Values };
}
