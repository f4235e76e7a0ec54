namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>Figures of some samples.</summary>
internal static class SampleStatistics
{
    /// <summary>Null without a sample.</summary>
    /// <param name="unit">Of every sample.</param>
    /// <param name="samples">In any order, all finite.</param>
    /// <param name="seed">Of the intervals; null: none are wanted, because the samples depend on each other.</param>
    internal static MetricStatistics? Of(string unit, IEnumerable<double> samples, ulong? seed)
    {
        double[] sorted = [.. samples.Order()];
        if (sorted.Length == 0) return null;
        double mean = Bootstrap.Mean(sorted), squares = 0;
        foreach (double sample in sorted) squares += (sample - mean) * (sample - mean);
        double At(double share) => Percentile.OfSorted(sorted, share);
        (Interval? Mean, Interval? P50, Interval? P90, Interval? P99) intervals = seed is { } s ? Bootstrap.Intervals(sorted, s) : default;
        return new MetricStatistics
        {
            Unit = unit,
            Count = sorted.Length,
            Mean = mean,
            Std = sorted.Length > 1 ? Math.Sqrt(squares / (sorted.Length - 1)) : null,
            Min = sorted[0],
            Max = sorted[^1],
            P1 = At(0.01),
            P5 = At(0.05),
            P10 = At(0.1),
            P25 = At(0.25),
            P50 = At(0.5),
            P75 = At(0.75),
            P90 = At(0.9),
            P95 = At(0.95),
            P99 = At(0.99),
            P999 = At(0.999),
            MeanCi95 = intervals.Mean,
            P50Ci95 = intervals.P50,
            P90Ci95 = intervals.P90,
            P99Ci95 = intervals.P99,
        };
    }

    /// <summary>A seed of its own for each thing, the same in every run with the same seed.</summary>
    internal static ulong SeedOf(ulong seed, params ReadOnlySpan<string> names)
    {
        // FNV-1a.
        ulong hash = 14695981039346656037 ^ seed;
        foreach (string name in names)
        {
            foreach (char c in name) hash = (hash ^ c) * 1099511628211;
            hash = (hash ^ '/') * 1099511628211;
        }

        return hash;
    }
}
