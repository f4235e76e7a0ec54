namespace KvHandoff.Bench.Reports;

/// <summary>Many small handoffs one after the other, each timed from the offer to the receiver's verdict.</summary>
internal sealed record LatencyRow
{
    public required string Transport { get; init; }

    public required string Model { get; init; }

    public int Tokens { get; init; }

    public long Bytes { get; init; }

    /// <summary>Blocks of 64 tokens over all layers: what one handoff consists of.</summary>
    public int Frames { get; init; }

    public int Handoffs { get; init; }

    public double P50Us { get; init; }

    public double P99Us { get; init; }

    public double HandoffsPerSecond { get; init; }

    /// <summary>The bare loop that was measured in turns; null where none was.</summary>
    public string? Bare { get; init; }

    /// <summary>Its median for the same bytes.</summary>
    public double? BareUs { get; init; }

    /// <summary>Median over the bare loop's.</summary>
    public double? OfBare { get; init; }

    /// <summary>In both processes, for everything that belongs to a handoff.</summary>
    public double AllocatedBytesPerHandoff { get; init; }

    /// <summary>What a larger handoff allocates more, per further block of a layer, in both processes.</summary>
    public double? AllocatedBytesPerBlock { get; init; }

    /// <summary>Seconds, of the last handoff.</summary>
    public required IReadOnlyDictionary<string, double> Phases { get; init; }
}

/// <summary>Handoffs of one size over one transport.</summary>
internal sealed record SweepRow
{
    public required string Transport { get; init; }

    public int Tokens { get; init; }

    public long Bytes { get; init; }

    public int Handoffs { get; init; }

    public double P50Us { get; init; }

    public double P99Us { get; init; }

    /// <summary>Bytes over the median time.</summary>
    public double Gbps { get; init; }

    /// <summary>Handoffs per second, one after the other.</summary>
    public double MessagesPerSecond { get; init; }
}

/// <summary>t = latency + bytes / bandwidth through the medians of a sweep.</summary>
internal sealed record FitRow
{
    public required string Transport { get; init; }

    public double LatencyUs { get; init; }

    public double Gbps { get; init; }

    /// <summary>Largest distance of a median from the line, as a share of the median.</summary>
    public double WorstResidual { get; init; }
}

/// <summary>A figure that the design asks for, and what this run measured.</summary>
internal sealed record FigureRow
{
    public required string Name { get; init; }

    /// <summary>What it is compared with.</summary>
    public required string Against { get; init; }

    public double Value { get; init; }

    public required string Unit { get; init; }

    /// <summary>"at least" or "at most".</summary>
    public required string Bound { get; init; }

    public double Target { get; init; }

    public bool Reached { get; init; }
}
