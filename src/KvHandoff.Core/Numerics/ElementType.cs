namespace KvHandoff.Numerics;

/// <summary>
/// The format of one number of a cache. The values are written to the wire and never change their meaning.
/// </summary>
public enum ElementType : byte
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32 = 1,

    /// <summary>IEEE 754 binary16.</summary>
    Float16 = 2,

    /// <summary>The upper half of a binary32, see <see cref="Numerics.BFloat16"/>.</summary>
    BFloat16 = 3,

    /// <summary>OCP OFP8 E4M3 (the finite-only form, "E4M3FN"), see <see cref="Numerics.Fp8E4M3"/>.</summary>
    Fp8E4M3 = 4,

    /// <summary>OCP OFP8 E5M2, see <see cref="Numerics.Fp8E5M2"/>.</summary>
    Fp8E5M2 = 5,

    /// <summary>Signed 8-bit integer; has a value only together with a scale.</summary>
    Int8 = 6,
}

/// <summary>Facts about each <see cref="ElementType"/>. Thread-safe.</summary>
public static class ElementTypes
{
    /// <summary>Size of one element: 4, 2 or 1 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a defined element type.</exception>
    public static int SizeBytes(this ElementType type) => type switch
    {
        ElementType.Float32 => 4,
        ElementType.Float16 or ElementType.BFloat16 => 2,
        ElementType.Fp8E4M3 or ElementType.Fp8E5M2 or ElementType.Int8 => 1,
        _ => throw Unknown(type),
    };

    /// <summary>The name used in manifests, tickets and reports, such as <c>"bf16"</c> or <c>"fp8-e4m3"</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a defined element type.</exception>
    public static string Name(this ElementType type) => type switch
    {
        ElementType.Float32 => "fp32",
        ElementType.Float16 => "fp16",
        ElementType.BFloat16 => "bf16",
        ElementType.Fp8E4M3 => "fp8-e4m3",
        ElementType.Fp8E5M2 => "fp8-e5m2",
        ElementType.Int8 => "int8",
        _ => throw Unknown(type),
    };

    /// <summary>Whether the value, which may come from a peer, is one that this version knows.</summary>
    public static bool IsDefined(this ElementType type) => type is >= ElementType.Float32 and <= ElementType.Int8;

    static ArgumentOutOfRangeException Unknown(ElementType type) =>
        new(nameof(type), type, $"Element type {(byte)type} is not one of 1 (fp32) to 6 (int8).");
}
