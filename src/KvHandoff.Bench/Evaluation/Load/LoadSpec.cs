using System.Globalization;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>How requests are offered.</summary>
internal sealed record LoadSpec
{
    internal const string Closed = "closed", Poisson = "poisson", Trace = "trace";

    public required string Name { get; init; }

    /// <summary>"closed", "poisson" or "trace".</summary>
    public required string Kind { get; init; }

    /// <summary>Lanes of a closed load.</summary>
    public int? Concurrency { get; init; }

    public double? RatePerSecond { get; init; }

    public double? TraceSpeed { get; init; }

    public IReadOnlyList<WorkloadRequest> Rows { get; init; } = [];

    internal static LoadSpec OfConcurrency(int lanes) => new() { Name = string.Create(CultureInfo.InvariantCulture, $"concurrency {lanes}"), Kind = Closed, Concurrency = lanes };

    internal static LoadSpec OfRate(double rate) => new() { Name = string.Create(CultureInfo.InvariantCulture, $"rate {rate}/s"), Kind = Poisson, RatePerSecond = rate };

    internal static LoadSpec OfTrace(string file, IReadOnlyList<WorkloadRequest> rows, double speed) => new()
    {
        Name = string.Create(CultureInfo.InvariantCulture, $"trace {Path.GetFileName(file)}{(speed == 1 ? "" : $" x{speed}")}"),
        Kind = Trace,
        TraceSpeed = speed,
        Rows = rows,
        RatePerSecond = rows.Count > 1 && rows[^1].ArrivalSeconds > rows[0].ArrivalSeconds ? (rows.Count - 1) / (rows[^1].ArrivalSeconds - rows[0].ArrivalSeconds) * speed : null,
    };
}
