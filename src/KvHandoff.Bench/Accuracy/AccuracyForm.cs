using KvHandoff.Bench.Handoff;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Accuracy;

/// <summary>One way of a prefix to the decode worker: a codec into a BF16 cache, or a cache that stores 8 bits.</summary>
/// <param name="Name">In results.</param>
/// <param name="Kind">"codec" or "stored".</param>
/// <param name="Codec">What the sender offers.</param>
/// <param name="Store">Makes the receiver's layer group of the BF16 one.</param>
internal sealed record AccuracyForm(string Name, string Kind, CodecId Codec, Func<LayerGroup, LayerGroup> Store)
{
    /// <summary>Whether what arrives has to be what was sent, so that nothing may change.</summary>
    internal bool IsExact => Kind == CodecKind && !OfferedCodec.All.Single(c => c.Id == Codec).IsLossy;

    internal const string CodecKind = "codec", StoredKind = "stored";

    /// <summary>All of them, in the order of results.</summary>
    internal static IReadOnlyList<AccuracyForm> All { get; } =
    [
        .. KvCodecs.All.Select(c => new AccuracyForm(c.Name, CodecKind, c.Id, group => group)),
        Stored("fp8, static scale per tensor", ElementType.Fp8E4M3, ScaleKind.PerTensor, ScaleKind.PerTensor),
        Stored("fp8, static scale per head", ElementType.Fp8E4M3, ScaleKind.PerHead, ScaleKind.PerHead),
        Stored("fp8, token-head", ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
        Stored("fp8, token-head, bf16 scales", ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.BFloat16),
        Stored("int8, K token-head, V token-head", ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead),
        Stored("int8, K channel-tile, V token-head", ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead),
        Stored("mxfp8", ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32, ScaleType.E8M0),
    ];

    private static AccuracyForm Stored(string name, ElementType type, ScaleKind keys, ScaleKind values, ScaleType scales = ScaleType.Float32) =>
        new(name, StoredKind, CodecId.Raw, group => group with { ElementType = type, KeyScaleKind = keys, ValueScaleKind = values, ScaleType = scales });
}
