using System.Diagnostics.CodeAnalysis;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>The codecs that this version knows. Thread-safe.</summary>
public static class KvCodecs
{
    private static readonly IKvCodec[] ById =
    [
        new RawCodec(),
        new PackedCodec(CodecId.Fp8E4M3, "fp8", ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead, ScaleType.Float32),
        new PackedCodec(CodecId.Int8, "int8", ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead, ScaleType.Float32),
        new PackedCodec(CodecId.MxFp8, "mxfp8", ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32, ScaleType.E8M0),
        new ExponentWindowCodec(),
        new Lz4Codec(),
    ];

    /// <summary>Identity: the rows as they are.</summary>
    public static IKvCodec Raw => ById[(int)CodecId.Raw];

    /// <summary>FP8 E4M3 with one fp32 scale per (token, head).</summary>
    public static IKvCodec Fp8 => ById[(int)CodecId.Fp8E4M3];

    /// <summary>INT8: K with one fp32 scale per (head, channel) of a granule, V with one per (token, head).</summary>
    public static IKvCodec Int8 => ById[(int)CodecId.Int8];

    /// <summary>MXFP8: FP8 E4M3 with one E8M0 scale per 32 elements.</summary>
    public static IKvCodec MxFp8 => ById[(int)CodecId.MxFp8];

    /// <summary>Lossless coding of BF16 exponents.</summary>
    public static IKvCodec ExponentWindow => ById[(int)CodecId.ExponentWindow];

    /// <summary>LZ4; needs the system's liblz4.</summary>
    public static IKvCodec Lz4 => ById[(int)CodecId.Lz4];

    /// <summary>All codecs, in the order of their numbers.</summary>
    public static IReadOnlyList<IKvCodec> All => ById;

    /// <summary>Finds a codec by the number a peer sent.</summary>
    public static bool TryGet(CodecId id, [NotNullWhen(true)] out IKvCodec? codec)
    {
        codec = (int)id < ById.Length ? ById[(int)id] : null;
        return codec is not null;
    }

    /// <summary>Finds a codec by the name a person wrote, in any case.</summary>
    public static bool TryParse(string? name, [NotNullWhen(true)] out IKvCodec? codec)
    {
        codec = Array.Find(ById, c => string.Equals(c.Name, name, StringComparison.OrdinalIgnoreCase));
        return codec is not null;
    }
}
