using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>
/// Percentile bootstrap of 95 %: the samples are drawn again with replacement, and the statistic of each draw is taken. The same seed gives the same interval.
/// A draw of sorted samples is a count per sample, so that order statistics need no sorting.
/// </summary>
internal static class Bootstrap
{
    internal const int LeastSamples = 5;
    private const int Draws = 1000, LeastDraws = 200;
    private const double MostWork = 2e7, Low = 0.025, High = 0.975;

    /// <summary>Which intervals a number of samples allows: at least five, and at least one expected beyond the percentile.</summary>
    internal static bool Allows(int samples, double share) => samples >= LeastSamples && samples * (1 - share) >= 1 - 1e-9 && samples * share >= 1 - 1e-9;

    /// <summary>Intervals of mean, p50, p90 and p99; null where the samples do not allow one.</summary>
    /// <param name="sorted">Ascending.</param>
    internal static (Interval? Mean, Interval? P50, Interval? P90, Interval? P99) Intervals(double[] sorted, ulong seed)
    {
        int n = sorted.Length;
        if (n < LeastSamples) return default;
        int draws = DrawsFor(n);
        double[] means = new double[draws], p50 = new double[draws], p90 = new double[draws], p99 = new double[draws], drawn = new double[n];
        var random = new SimulationRandom(seed);
        int[] counts = new int[n];
        for (int d = 0; d < draws; d++)
        {
            Draw(sorted, counts, drawn, random);
            means[d] = Mean(drawn);
            (p50[d], p90[d], p99[d]) = (Percentile.OfSorted(drawn, 0.5), Percentile.OfSorted(drawn, 0.9), Percentile.OfSorted(drawn, 0.99));
        }

        return (Of(means), Allows(n, 0.5) ? Of(p50) : null, Allows(n, 0.9) ? Of(p90) : null, Allows(n, 0.99) ? Of(p99) : null);
    }

    /// <summary>Interval of the difference of a statistic of two independent groups, first less second; null where one of them is too small.</summary>
    internal static Interval? Difference(double[] first, double[] second, Func<double[], double> statisticOfSorted, ulong seed)
    {
        if (first.Length < LeastSamples || second.Length < LeastSamples) return null;
        var random = new SimulationRandom(seed);
        double[] a = [.. first.Order()], b = [.. second.Order()], drawnA = new double[a.Length], drawnB = new double[b.Length];
        int[] countsA = new int[a.Length], countsB = new int[b.Length];
        double[] differences = new double[DrawsFor(a.Length + b.Length)];
        for (int d = 0; d < differences.Length; d++)
        {
            Draw(a, countsA, drawnA, random);
            Draw(b, countsB, drawnB, random);
            differences[d] = statisticOfSorted(drawnA) - statisticOfSorted(drawnB);
        }

        return Of(differences);
    }

    internal static double Mean(double[] values)
    {
        double sum = 0;
        foreach (double value in values) sum += value;
        return sum / values.Length;
    }

    private static int DrawsFor(int samples) => (int)Math.Clamp(MostWork / samples, LeastDraws, Draws);

    private static void Draw(double[] sorted, int[] counts, double[] drawn, SimulationRandom random)
    {
        Array.Clear(counts);
        for (int i = 0; i < sorted.Length; i++) counts[random.Next(sorted.Length)]++;
        int at = 0;
        for (int i = 0; i < sorted.Length; i++)
        {
            for (int c = counts[i]; c > 0; c--) drawn[at++] = sorted[i];
        }
    }

    private static Interval Of(double[] statistics)
    {
        Array.Sort(statistics);
        return new Interval(Percentile.OfSorted(statistics, Low), Percentile.OfSorted(statistics, High));
    }
}
