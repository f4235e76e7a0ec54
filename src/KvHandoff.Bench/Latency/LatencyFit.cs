using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Latency;

/// <summary>
/// The line t = latency + bytes / bandwidth through the medians of a sweep, by least squares of the relative error: so the smallest handoff counts as
/// much as the largest, which takes a thousand times as long.
/// </summary>
internal static class LatencyFit
{
    internal static FitRow Of(string transport, IReadOnlyList<SweepRow> rows)
    {
        if (rows.Count < 2) throw new ArgumentException($"{rows.Count} sizes were measured; a line needs 2.", nameof(rows));
        double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
        foreach (SweepRow row in rows)
        {
            double weight = 1 / (row.P50Us * row.P50Us), x = row.Bytes, y = row.P50Us;
            w += weight;
            wx += weight * x;
            wy += weight * y;
            wxx += weight * x * x;
            wxy += weight * x * y;
        }

        double slope = (w * wxy - wx * wy) / (w * wxx - wx * wx), latency = (wy - slope * wx) / w;
        return new FitRow
        {
            Transport = transport,
            LatencyUs = latency,
            Gbps = 1 / slope / 1e3,
            WorstResidual = rows.Max(r => Math.Abs(latency + slope * r.Bytes - r.P50Us) / r.P50Us),
        };
    }

    /// <summary>Microseconds that the line gives.</summary>
    internal static double At(FitRow fit, double bytes) => fit.LatencyUs + bytes / fit.Gbps / 1e3;
}
