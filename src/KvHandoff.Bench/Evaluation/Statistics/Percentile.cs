namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>Percentiles by linear interpolation between order statistics: position p (n - 1), as numpy's default and R's type 7.</summary>
internal static class Percentile
{
    /// <param name="sorted">At least one sample, ascending.</param>
    /// <param name="share">0 to 1.</param>
    internal static double OfSorted(ReadOnlySpan<double> sorted, double share)
    {
        if (sorted.IsEmpty) throw new ArgumentException("The percentile of no samples does not exist.", nameof(sorted));
        double position = share * (sorted.Length - 1);
        int below = (int)Math.Floor(position);
        return below + 1 >= sorted.Length ? sorted[^1] : sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]);
    }
}
