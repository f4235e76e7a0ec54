namespace KvHandoff.Bench.Limits;

/// <summary>The middle of some samples.</summary>
internal static class Median
{
    internal static double Of(IReadOnlyCollection<double> samples)
    {
        if (samples.Count == 0) throw new ArgumentException("The median of no samples does not exist.", nameof(samples));
        double[] sorted = [.. samples.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
