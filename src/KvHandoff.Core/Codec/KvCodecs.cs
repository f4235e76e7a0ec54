using System.Diagnostics.CodeAnalysis;

namespace KvHandoff.Codec;

/// <summary>The codecs that this version knows. Thread-safe.</summary>
public static class KvCodecs
{
    private static readonly IKvCodec[] ById = [new RawCodec(), new Fp8Codec()];

    /// <summary>Identity: the rows as they are.</summary>
    public static IKvCodec Raw => ById[(int)CodecId.Raw];

    /// <summary>FP8 E4M3 with one fp32 scale per (token, head).</summary>
    public static IKvCodec Fp8 => ById[(int)CodecId.Fp8E4M3];

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
