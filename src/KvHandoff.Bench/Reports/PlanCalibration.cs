namespace KvHandoff.Bench.Reports;

/// <summary>A measured sweep, the model fitted to half of its sizes, and what it says of the other half.</summary>
internal sealed record CalibrationSection
{
    public required string File { get; init; }

    public IReadOnlyList<CalibrationFitRow> Fits { get; init; } = [];

    public IReadOnlyList<CalibrationRow> Rows { get; init; } = [];
}

internal sealed record CalibrationFitRow
{
    public required string Transport { get; init; }

    public double LatencySeconds { get; init; }

    public double BytesPerSecond { get; init; }

    /// <summary>Size from which another bandwidth holds; null for a straight line.</summary>
    public double? KneeBytes { get; init; }

    public double? BytesPerSecondBeyond { get; init; }

    public double MessagesPerSecond { get; init; }

    /// <summary>Mean distance of the fitted sizes from the model, as a share of the measured time.</summary>
    public double FittedError { get; init; }

    /// <summary>Median of the same over the sizes that the fit never saw.</summary>
    public double HeldOutMedianError { get; init; }

    public double HeldOutWorstError { get; init; }
}

internal sealed record CalibrationRow
{
    public required string Transport { get; init; }

    public long Bytes { get; init; }

    public bool HeldOut { get; init; }

    public double MeasuredSeconds { get; init; }

    public double PredictedSeconds { get; init; }

    /// <summary>Predicted over measured, less one.</summary>
    public double Error { get; init; }
}
