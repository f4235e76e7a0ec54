using System.Globalization;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// Prefill time of Llama-3.3-70B from published figures: F(N) = a N + b N^2 floating-point operations over peak times utilisation.
/// </summary>
/// <param name="Chips">Accelerators that prefill together.</param>
/// <param name="Chip">Their name, with the published peak's number format and source.</param>
/// <param name="PeakFlopsPerChip">Dense peak.</param>
internal sealed record PrefillCost(int Chips, string Chip, double PeakFlopsPerChip)
{
    /// <summary>Two operations per non-embedding parameter and token; Llama-3.3-70B has 68.45e9 of them.</summary>
    internal const double FlopsPerToken = 2 * 68.45e9;

    /// <summary>Causal attention: 2 x 64 query heads x head dimension 128 x 80 layers, per token squared.</summary>
    internal const double FlopsPerTokenSquared = 2.0 * 64 * 128 * 80;

    /// <summary>Share of the peak that a good prefill reaches; published Llama-70B runs lie between 0.17 and 0.42.</summary>
    internal const double Utilisation = 0.4;

    internal static IReadOnlyList<PrefillCost> Published { get; } =
    [
        new(16, "Trainium3, 2517 TFLOP/s MXFP8 dense each (AWS Neuron documentation)", 2517e12),
        new(8, "H100 SXM, 989 TFLOP/s BF16 dense each (NVIDIA data sheet)", 989e12),
    ];

    internal double Milliseconds(int tokens) =>
        (FlopsPerToken * tokens + FlopsPerTokenSquared * tokens * tokens) / (Chips * PeakFlopsPerChip * Utilisation) * 1e3;

    internal string Source => string.Create(CultureInfo.InvariantCulture,
        $"computed: (2 x 68.45e9 N + 1.311e6 N^2) FLOP / ({Utilisation} x {Chips} x {Chip})");
}
