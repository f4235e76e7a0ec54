namespace KvHandoff.Bench.Evaluation;

/// <summary>Some samples in figures. Percentiles interpolate linearly between order statistics; the deviation is the sample's (n - 1).</summary>
internal sealed record MetricStatistics
{
    /// <summary>"s", "tok/s", "tok", "%", "B", or "1" of a count.</summary>
    public required string Unit { get; init; }

    public int Count { get; init; }

    public double Mean { get; init; }

    /// <summary>Null of a single sample.</summary>
    public double? Std { get; init; }

    public double Min { get; init; }

    public double Max { get; init; }

    public double P1 { get; init; }

    public double P5 { get; init; }

    public double P10 { get; init; }

    public double P25 { get; init; }

    public double P50 { get; init; }

    public double P75 { get; init; }

    public double P90 { get; init; }

    public double P95 { get; init; }

    public double P99 { get; init; }

    public double P999 { get; init; }

    /// <summary>Bootstrap intervals of 95 %: null where there are too few samples for one.</summary>
    public Interval? MeanCi95 { get; init; }

    public Interval? P50Ci95 { get; init; }

    public Interval? P90Ci95 { get; init; }

    public Interval? P99Ci95 { get; init; }
}

internal sealed record Interval(double Low, double High);
