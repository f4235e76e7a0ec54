namespace KvHandoff.Bench.CostModel;

/// <summary>
/// t = alpha + s / B through measured times, by least squares of the relative error: the smallest size counts as much as the largest. Where a second slope from some
/// size on predicts left-out points better (a cache that is left, a pipe that fills), the line has a knee there.
/// </summary>
/// <param name="LatencySeconds">alpha, never negative.</param>
/// <param name="BytesPerSecond">B, up to the knee.</param>
/// <param name="KneeBytes">Infinite for a straight line.</param>
/// <param name="BytesPerSecondBeyond">Of the bytes behind the knee.</param>
internal readonly record struct LineFit(double LatencySeconds, double BytesPerSecond, double KneeBytes, double BytesPerSecondBeyond)
{
    // A knee has to be worth its two parameters.
    private const double KneeGain = 0.8, GoodEnough = 0.01;
    private const int LeastPointsForKnee = 5;

    internal double Seconds(double bytes) => LatencySeconds + Math.Min(bytes, KneeBytes) / BytesPerSecond + (bytes > KneeBytes ? (bytes - KneeBytes) / BytesPerSecondBeyond : 0);

    internal static LineFit Of(IReadOnlyList<(double Bytes, double Seconds)> points)
    {
        double[] sizes = [.. points.Select(p => p.Bytes).Distinct().Order()];
        if (sizes.Length < 2) throw new ArgumentException($"{points.Count} points at fewer than two sizes; a line needs two sizes.", nameof(points));
        LineFit best = Straight(points);
        if (sizes.Length < LeastPointsForKnee) return best;
        double least = LeftOut(points, Straight) * KneeGain;
        if (least < GoodEnough) return best;
        foreach (double knee in sizes[1..^1])
        {
            if (Bent(points, knee) is not { } bent || LeftOut(points, p => Bent(p, knee)) is var error && !(error < least)) continue;
            (best, least) = (bent, error);
        }

        return best;
    }

    private static LineFit Straight(IReadOnlyList<(double Bytes, double Seconds)> points)
    {
        double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
        foreach ((double x, double y) in points)
        {
            double weight = 1 / (y * y);
            w += weight;
            wx += weight * x;
            wy += weight * y;
            wxx += weight * x * x;
            wxy += weight * x * y;
        }

        double slope = (w * wxy - wx * wy) / (w * wxx - wx * wx), latency = (wy - slope * wx) / w;
        // A line through the origin where noise would make the latency negative; a level one where more bytes took no longer.
        if (latency < 0) (latency, slope) = (0, wxy / wxx);
        if (slope <= 0) return new LineFit(wy / w, double.MaxValue, double.PositiveInfinity, double.MaxValue);
        return new LineFit(latency, 1 / slope, double.PositiveInfinity, 1 / slope);
    }

    // Three coefficients of 1, min(s, knee) and max(0, s - knee); null where one of them would be negative.
    private static LineFit? Bent(IReadOnlyList<(double Bytes, double Seconds)> points, double knee)
    {
        double[,] m = new double[3, 4];
        foreach ((double x, double y) in points)
        {
            // In knees and in shares of the time, so that the numbers are of one size.
            ReadOnlySpan<double> row = [1 / y, Math.Min(x, knee) / knee / y, Math.Max(0, x - knee) / knee / y];
            for (int i = 0; i < 3; i++)
            {
                for (int j = 0; j < 3; j++) m[i, j] += row[i] * row[j];
                m[i, 3] += row[i];
            }
        }

        for (int i = 0; i < 3; i++)
        {
            if (!(Math.Abs(m[i, i]) > 1e-12 * Math.Abs(m[0, 0]))) return null;
            for (int r = 0; r < 3; r++)
            {
                if (r == i) continue;
                double factor = m[r, i] / m[i, i];
                for (int c = i; c < 4; c++) m[r, c] -= factor * m[i, c];
            }
        }

        double latency = m[0, 3] / m[0, 0], below = m[1, 3] / m[1, 1] / knee, beyond = m[2, 3] / m[2, 2] / knee;
        return latency >= 0 && below > 0 && beyond > 0 ? new LineFit(latency, 1 / below, knee, 1 / beyond) : null;
    }

    // Mean relative error of each point by a fit to the others.
    private static double LeftOut(IReadOnlyList<(double Bytes, double Seconds)> points, Func<IReadOnlyList<(double Bytes, double Seconds)>, LineFit?> fit)
    {
        double sum = 0;
        for (int i = 0; i < points.Count; i++)
        {
            if (fit([.. points.Where((_, j) => j != i)]) is not { } others) return double.PositiveInfinity;
            sum += Math.Abs(others.Seconds(points[i].Bytes) / points[i].Seconds - 1);
        }

        return sum / points.Count;
    }

    private static double LeftOut(IReadOnlyList<(double Bytes, double Seconds)> points, Func<IReadOnlyList<(double Bytes, double Seconds)>, LineFit> fit) => LeftOut(points, p => (LineFit?)fit(p));
}
