using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>How closely what landed has to be what was sent.</summary>
public enum CanaryPrecision : byte
{
    /// <summary>The sender's numbers: raw and lossless codecs into the same or a wider type.</summary>
    Exact = 1,

    /// <summary>Rounded to BF16 or FP16 once.</summary>
    Rounded16 = 2,

    /// <summary>INT8 with scales per channel and tile or per token.</summary>
    Int8 = 3,

    /// <summary>FP8 E4M3 with scales per token.</summary>
    Fp8 = 4,

    /// <summary>FP8 E4M3 in groups of 32 with power-of-two scales.</summary>
    MxFp8 = 5,

    /// <summary>FP8 E5M2, and any 8-bit form with static scales.</summary>
    Coarse8 = 6,
}

/// <summary>
/// Largest error of a canary's output that is taken for rounding: the Euclidean norm of the difference over that of the sender's output. Each is
/// at least 2.3 times what was measured on real keys and values and on synthetic ones with outlier channels, over 64 to 1,500 tokens;
/// tests/KvHandoff.Core.Tests/Attention/CanaryToleranceTests.cs repeats the measurement. Other heads, planes or scales err by about 1.
/// </summary>
/// <remarks>
/// INT8 whose key scales cover whole rows or more, over keys with channels 10 to 50 times as large as the others, errs by 0.3 to 1.2 and
/// deviates: such a cache does lose its keys. Without such channels it stays below 0.05.
/// </remarks>
public static class CanaryTolerance
{
    /// <summary>The tolerance.</summary>
    /// <param name="precision">How rows were rounded on the way.</param>
    /// <param name="seeded">Whether both sides computed with this library, on queries that are no peakier than a seeded one's; an engine's own are, and
    /// its weights and outputs are rounded to BF16.</param>
    public static float Of(CanaryPrecision precision, bool seeded)
    {
        // Measured, seeded and engine's: 5e-7 and 0.003; 0 and 0.003; 0.016 and 0.023; 0.057 and 0.125; 0.072 and 0.109; 0.13 and 0.23.
        (float ofSeeded, float ofEngine) = precision switch
        {
            CanaryPrecision.Exact => (1e-4f, 0.01f),
            CanaryPrecision.Rounded16 => (0.01f, 0.02f),
            CanaryPrecision.Int8 => (0.04f, 0.06f),
            CanaryPrecision.Fp8 => (0.15f, 0.30f),
            CanaryPrecision.MxFp8 => (0.18f, 0.30f),
            CanaryPrecision.Coarse8 => (0.33f, 0.55f),
            _ => throw new ArgumentOutOfRangeException(nameof(precision), precision, "Exact to Coarse8."),
        };
        return seeded ? ofSeeded : ofEngine;
    }

    /// <summary>The precision of rows that are stored, or travel, in a form; of K and V the coarser one counts.</summary>
    public static CanaryPrecision PrecisionOf(in StorageForm form) => form.ElementType switch
    {
        ElementType.Float32 => CanaryPrecision.Exact,
        ElementType.BFloat16 or ElementType.Float16 => CanaryPrecision.Rounded16,
        ElementType.Fp8E4M3 when form.ScaleKind == ScaleKind.PerTokenHead => CanaryPrecision.Fp8,
        ElementType.Fp8E4M3 when form.ScaleKind == ScaleKind.PerGroup32 => CanaryPrecision.MxFp8,
        ElementType.Int8 when form.HasStoredScales => CanaryPrecision.Int8,
        _ => CanaryPrecision.Coarse8,
    };

    /// <summary>
    /// The precision of a layer group's transfer without a codec that rounds. A codec that does: that of its own form, if coarser.
    /// </summary>
    public static CanaryPrecision PrecisionOf(GroupTransfer transfer)
    {
        ArgumentNullException.ThrowIfNull(transfer);
        if (!transfer.Steps.HasFlag(TransferSteps.Lossy)) return CanaryPrecision.Exact;
        CanaryPrecision coarsest = CanaryPrecision.Exact;
        for (int plane = 0; plane < transfer.Source.Planes; plane++)
        {
            foreach (StorageForm form in (StorageForm[])[transfer.Wire((KvPlane)plane), transfer.Target.Form((KvPlane)plane)])
            {
                CanaryPrecision of = PrecisionOf(form);
                if (of > coarsest) coarsest = of;
            }
        }

        return coarsest;
    }
}

/// <summary>A pair of a canary after the comparison.</summary>
/// <param name="Layer">Layer of the whole model.</param>
/// <param name="Head">Query head, or kv head of a seeded set.</param>
/// <param name="Error">Norm of the difference over the norm of the sender's output; infinite where the receiver's is no number.</param>
/// <param name="Tolerance">What is allowed.</param>
public readonly record struct CanaryDeviation(int Layer, int Head, float Error, float Tolerance)
{
    /// <summary>Whether the error is allowed.</summary>
    public bool IsWithin => Error <= Tolerance;

    /// <inheritdoc/>
    public override string ToString() => $"attention of layer {Layer}, head {Head} differs by {Error:g3}; allowed: {Tolerance:g3}";
}
