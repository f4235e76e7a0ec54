using System.Globalization;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Statistics;

namespace KvHandoff.Bench.Reports;

/// <summary>Statistics by name, and how certain their difference between two runs is.</summary>
internal static class DifferenceBootstrap
{
    private const ulong Seed = 20250301;

    /// <summary>"mean", or a percentile such as "p50", of samples in ascending order; null for anything else.</summary>
    internal static Func<double[], double>? Statistic(string name)
    {
        if (name == "mean") return Bootstrap.Mean;
        if (name.Length < 2 || name[0] != 'p' || !double.TryParse(name.AsSpan(1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double percent) || percent is < 0 or > 100) return null;
        return sorted => Percentile.OfSorted(sorted, percent / 100);
    }

    /// <summary>95 % of the differences, other less first, of redrawn samples lie within; null with too few samples. A percentile that no sample is expected beyond has none.</summary>
    internal static Interval? Of(double[] first, double[] other, string statistic)
    {
        int fewest = Math.Min(first.Length, other.Length);
        bool isAllowed = statistic == "mean" || Bootstrap.Allows(fewest, double.Parse(statistic.AsSpan(1), CultureInfo.InvariantCulture) / 100);
        return isAllowed ? Bootstrap.Difference(other, first, Statistic(statistic)!, Seed) : null;
    }
}
