namespace KvHandoff.Bench.Charts;

/// <summary>What a box plot shows of samples: quartiles, whiskers to the last sample within 1.5 interquartile ranges, and what lies beyond.</summary>
internal sealed record BoxStatistics(int Count, double LowerWhisker, double LowerQuartile, double Median, double UpperQuartile, double UpperWhisker, double Mean, IReadOnlyList<double> Outliers)
{
    private const double Reach = 1.5;

    /// <summary>Null without a finite sample.</summary>
    internal static BoxStatistics? Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Where(double.IsFinite).Order()];
        if (sorted.Length == 0) return null;
        double q1 = Quantile(sorted, 0.25), q3 = Quantile(sorted, 0.75), range = q3 - q1;
        double[] within = [.. sorted.Where(v => v >= q1 - Reach * range && v <= q3 + Reach * range)];
        return new BoxStatistics(sorted.Length, within[0], q1, Quantile(sorted, 0.5), q3, within[^1], sorted.Average(), [.. sorted.Where(v => v < within[0] || v > within[^1])]);
    }

    /// <summary>Linear between order statistics, as in the tables.</summary>
    internal static double Quantile(IReadOnlyList<double> sorted, double share)
    {
        double at = (sorted.Count - 1) * share;
        int below = (int)Math.Floor(at);
        return below + 1 < sorted.Count ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
