using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>Tables of small handoffs, of sweeps, and of the figures to reach.</summary>
internal static class LatencyTables
{
    internal static ReportTable Figures(IReadOnlyList<FigureRow> figures) => new("figures", "Figures to reach",
        "They hold for a quiet machine with a core for each process; a missed one is no failure of the run.",
        [new("figure", false), new("against", false), new("measured"), new("asked for", false), new("", false)],
        [.. figures.Select(f => new[] { f.Name, f.Against, $"{Short(f.Value)} {f.Unit}", $"{f.Bound} {f.Target.ToString(CultureInfo.InvariantCulture)}", f.Reached ? "reached" : "MISSED" })]);

    internal static ReportTable Latencies(IReadOnlyList<LatencyRow> rows) => new("latencies", "Small handoffs, from the offer to the verdict",
        "One after the other, microseconds. Blocks are those of 64 tokens of all layers. Allocated: in both processes, per handoff, and what each further block adds. The last handoff was compared byte by byte.",
        [new("model", false), new("over", false), new("tokens"), new("bytes"), new("blocks"), new("handoffs"), new("p50 us"), new("p99 us"), new("per second"), new("bare us"), new("of bare"), new("allocated"), new("per block")],
        [.. rows.Select(r => new[]
        {
            r.Model, r.Transport, N(r.Tokens), N(r.Bytes), N(r.Frames), N(r.Handoffs), Short(r.P50Us), Short(r.P99Us), N((long)r.HandoffsPerSecond), r.BareUs is { } bare ? Short(bare) : "",
            r.OfBare is { } ofBare ? F(ofBare, "0.00") : "", N((long)r.AllocatedBytesPerHandoff), r.AllocatedBytesPerBlock is { } more ? F(more, "0.0") : "",
        })]);

    internal static ReportTable Sweep(IReadOnlyList<SweepRow> rows) => new("sweep", "Sizes",
        "Handoffs of the reference model's shape, one after the other, each timed from the offer to the verdict. The last one of each size was compared byte by byte.",
        [new("over", false), new("tokens"), new("bytes"), new("handoffs"), new("p50 us"), new("p99 us"), new("GB/s"), new("per second")],
        [.. rows.Select(r => new[] { r.Transport, N(r.Tokens), N(r.Bytes), N(r.Handoffs), Short(r.P50Us), Short(r.P99Us), F(r.Gbps, "0.00"), Short(r.MessagesPerSecond) })]);

    internal static ReportTable Fits(IReadOnlyList<FitRow> fits) => new("fits", "Latency + bytes / bandwidth",
        "The line through the medians with the least squares of relative errors; the residual is the largest of them.",
        [new("over", false), new("latency us"), new("GB/s"), new("worst residual %")],
        [.. fits.Select(f => new[] { f.Transport, Short(f.LatencyUs), F(f.Gbps, "0.00"), F(f.WorstResidual * 100, "0.0") })]);

    private static string Short(double value) => F(value, Math.Abs(value) >= 100 ? "#,0" : Math.Abs(value) >= 10 ? "0.0" : "0.00");

    private static string F(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string N(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);
}
