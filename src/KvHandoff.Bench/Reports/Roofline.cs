using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Reports;

/// <summary>What the machine gives so many threads.</summary>
/// <param name="Threads">Threads.</param>
/// <param name="ReadGbps">GB/s of reading.</param>
/// <param name="PeakGigaMultiplyAdds">1e9 multiply-adds per second.</param>
internal sealed record Roof(int Threads, double ReadGbps, double PeakGigaMultiplyAdds);

/// <summary>One measured step.</summary>
/// <param name="Label">How its rows are stored, and its shape unless it is the usual one.</param>
/// <param name="IsNative">Native or managed kernel.</param>
/// <param name="Threads">Threads.</param>
/// <param name="Intensity">Multiply-adds per byte of K and V.</param>
/// <param name="GigaMultiplyAdds">1e9 multiply-adds per second.</param>
/// <param name="Name">The row's name and kernel.</param>
internal sealed record RooflinePoint(string Label, bool IsNative, int Threads, double Intensity, double GigaMultiplyAdds, string Name);

/// <summary>The roofs and points of a run's longest steps: medians over the rows, each of which measured the limits anew.</summary>
internal sealed record Roofline(IReadOnlyList<Roof> Roofs, IReadOnlyList<RooflinePoint> Points)
{
    private const string UsualShape = "64/8/128";

    /// <summary>Null when no step was measured beside both limits.</summary>
    internal static Roofline? Of(KernelSummary summary)
    {
        (KernelRow Row, AttentionFigures Figures)[] rows = [.. summary.Kernels.Where(k => k.Attention is { PeakGigaMultiplyAdds: > 0, ReadGbps: > 0 }).Select(k => (k, k.Attention!))];
        if (rows.Length == 0) return null;
        int longest = rows.Max(r => r.Figures.Tokens);
        rows = [.. rows.Where(r => r.Figures.Tokens == longest)];
        return new Roofline(
            [.. rows.GroupBy(r => r.Figures.Threads).OrderBy(g => g.Key).Select(g =>
                new Roof(g.Key, Median.Of([.. g.Select(r => r.Figures.ReadGbps)]), Median.Of([.. g.Select(r => r.Figures.PeakGigaMultiplyAdds!.Value)])))],
            [.. rows.Select(r => new RooflinePoint(LabelOf(r.Figures), r.Row.Implementation.StartsWith("native", StringComparison.Ordinal), r.Figures.Threads,
                (double)r.Figures.MultiplyAdds / r.Row.CountedBytes, r.Figures.GigaMultiplyAdds, $"{r.Row.Name}, {r.Row.Implementation}"))]);
    }

    private static string LabelOf(AttentionFigures figures) =>
        figures.Stored + (figures.Shape == UsualShape ? "" : $" {figures.Shape}") + (figures.Weights == "fp32" ? "" : $", {figures.Weights} weights");
}
