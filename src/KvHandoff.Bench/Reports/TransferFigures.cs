using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Latency;

namespace KvHandoff.Bench.Reports;

/// <summary>A sweep as bandwidth and as message rate over the size of a handoff, with what the fitted line gives.</summary>
internal static class TransferFigures
{
    private const int Steps = 60;

    internal static IReadOnlyList<ReportFigure> All(IReadOnlyList<SweepRow> rows, IReadOnlyList<FitRow> fits)
    {
        string[] transports = [.. rows.Select(r => r.Transport).Distinct()];
        SweepRow[] known = [.. rows.Where(r => r is { Bytes: > 0, P50Us: > 0, Gbps: > 0 } && double.IsFinite(r.Gbps))];
        if (known.Length == 0) return [];
        var x = new PlotAxis("bytes of K and V in one handoff", AxisScale.Decades(known.Select(r => (double)r.Bytes)), Size);
        (SweepRow Row, double Rate)[] messages = [.. known.Where(r => r.MessagesPerSecond > 0).Select(r => (r, r.MessagesPerSecond))];
        return
        [
            Chart("transfer_bandwidth", "Bandwidth over size", "Marks: bytes over the median time. Lines: the fit, bytes / (latency + bytes / bandwidth).", "GB/s", known, r => r.Gbps, (f, b) => b / 1e3 / LatencyFit.At(f, b), false),
            Chart("transfer_messages", "Handoffs per second over size", "One after the other over one connection. Lines: one over the fitted time.", "handoffs per second", [.. messages.Select(m => m.Row)], r => r.MessagesPerSecond, (f, b) => 1e6 / LatencyFit.At(f, b), true),
        ];

        ReportFigure Chart(string stem, string title, string note, string name, SweepRow[] shown, Func<SweepRow, double> of, Func<FitRow, double, double> fitted, bool isLogarithmic)
        {
            if (shown.Length == 0) return ReportFigure.Without(stem, title, "No request gave a sample of it.");
            AxisScale scale = isLogarithmic ? AxisScale.Decades(shown.Select(of), 1.6) : AxisScale.FromZero(shown.Select(of));
            PlotLine[] lines = [.. transports.SelectMany((t, i) => new[]
            {
                new PlotLine(Legend(t), LoadFigures.Colours[i % LoadFigures.Colours.Length], [.. shown.Where(r => r.Transport == t).OrderBy(r => r.Bytes).Select(r => new LinePoint(r.Bytes, of(r)))], LoadFigures.Strokes[i % LoadFigures.Strokes.Length], HasMarks: true, IsDrawn: false),
            })];
            PlotLine[] curves = [.. fits.Where(f => transports.Contains(f.Transport)).Select(f => new PlotLine(Legend(f.Transport), LoadFigures.Colours[Array.IndexOf(transports, f.Transport) % LoadFigures.Colours.Length], [.. Enumerable.Range(0, Steps + 1).Select(i => x.Scale.Least * Math.Pow(x.Scale.Most / x.Scale.Least, (double)i / Steps)).Select(b => new LinePoint(b, fitted(f, b)))], LoadFigures.Strokes[Array.IndexOf(transports, f.Transport) % LoadFigures.Strokes.Length], IsInLegend: false))];
            return new ReportFigure(stem, title, note, (id, size) => LineChart.Draw(id, size, $"{title}: {string.Join("; ", shown.Select(r => $"{r.Transport}, {Size(r.Bytes)}: {ChartNumber.Short(of(r))} {name}"))}", x, new PlotAxis(name, scale, v => ChartNumber.Short(v)), [.. lines, .. curves]));
        }

        string Legend(string transport) => fits.FirstOrDefault(f => f.Transport == transport) is { } f ? $"{transport}: {ChartNumber.Short(f.LatencyUs)} µs + bytes / {ChartNumber.Short(f.Gbps)} GB/s" : transport;
    }

    private static string Size(double bytes) => ChartNumber.Bytes(bytes);
}
