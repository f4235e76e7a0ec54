namespace KvHandoff.Numerics;

/// <summary>
/// The format of the scales that go with packed codes. The values are written to the wire and never change their meaning.
/// </summary>
public enum ScaleType : byte
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32 = 1,

    /// <summary>The upper half of a binary32, see <see cref="Numerics.BFloat16"/>.</summary>
    BFloat16 = 2,

    /// <summary>A power of two, see <see cref="Numerics.E8M0"/>; the scale of an MX group.</summary>
    E8M0 = 3,
}

/// <summary>Facts about each <see cref="ScaleType"/>. Thread-safe.</summary>
public static class ScaleTypes
{
    /// <summary>Size of one scale: 4, 2 or 1 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a defined scale type.</exception>
    public static int SizeBytes(this ScaleType type) => type switch
    {
        ScaleType.Float32 => 4,
        ScaleType.BFloat16 => 2,
        ScaleType.E8M0 => 1,
        _ => throw Unknown(type),
    };

    /// <summary>The name used in manifests and reports: <c>"fp32"</c>, <c>"bf16"</c> or <c>"e8m0"</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a defined scale type.</exception>
    public static string Name(this ScaleType type) => type switch
    {
        ScaleType.Float32 => "fp32",
        ScaleType.BFloat16 => "bf16",
        ScaleType.E8M0 => "e8m0",
        _ => throw Unknown(type),
    };

    /// <summary>Whether the value, which may come from a peer, is one that this version knows.</summary>
    public static bool IsDefined(this ScaleType type) => type is >= ScaleType.Float32 and <= ScaleType.E8M0;

    static ArgumentOutOfRangeException Unknown(ScaleType type) =>
        new(nameof(type), type, $"Scale type {(byte)type} is not one of 1 (fp32) to 3 (e8m0).");
}
