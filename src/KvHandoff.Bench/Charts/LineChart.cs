using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>A point of a line, with the interval around it where it is known.</summary>
internal readonly record struct LinePoint(double X, double Y, double? Low = null, double? High = null);

/// <summary>A line; its points in the axes' units, in the order of x.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Colour">Of the theme.</param>
/// <param name="Points">Points that are not finite, or not positive on a logarithmic axis, are left out.</param>
/// <param name="Stroke">"", "dashed" or "dots".</param>
/// <param name="IsStepped">Level until the next point.</param>
/// <param name="HasMarks">A mark at each point.</param>
/// <param name="IsDrawn">False for marks alone.</param>
/// <param name="IsInLegend">False for a line that belongs to another one.</param>
internal sealed record PlotLine(string Name, int Colour, IReadOnlyList<LinePoint> Points, string Stroke = "", bool IsStepped = false, bool HasMarks = false, bool IsDrawn = true, bool IsInLegend = true);

/// <summary>A name beside an axis, and how its values are written.</summary>
/// <param name="At">Values to write at it; null for round ones.</param>
internal sealed record PlotAxis(string Name, AxisScale Scale, Func<double, string> Text, IReadOnlyList<double>? At = null);

/// <summary>Lines with bands, marks and rules over two axes.</summary>
internal static class LineChart
{
    internal static string Draw(string id, ChartSize size, string about, PlotAxis x, PlotAxis y, IReadOnlyList<PlotLine> lines, IReadOnlyList<(double Y, string Name)>? rules = null, double plotHeight = 260)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        double top = ChartFrame.Head(canvas, y.Name, [.. lines.Where(l => l.IsInLegend).Select(l => new LegendEntry(l.Name, l.Colour, Line: l.Stroke))]) + 6, left = ChartFrame.Left(y.Scale, y.Text);
        var plot = new PictureBox(left, top, canvas.Width - left - 8, plotHeight);
        ChartFrame.Values(canvas, plot, y.Scale, y.Text);
        double bottom = ChartFrame.Below(canvas, plot, x.Scale, x.Text, x.Name, size == ChartSize.Small ? 4 : 6, x.At);
        foreach (PlotLine line in lines) Band(canvas, plot, x.Scale, y.Scale, line);
        foreach (PlotLine line in lines) Line(canvas, plot, x, y, line);
        foreach ((double at, string name) in rules ?? [])
        {
            if (!y.Scale.Holds(at)) continue;
            double level = Y(plot, y.Scale, at);
            canvas.Line(plot.Left, level, plot.Right, level, "rule");
            canvas.Text(plot.Right - 2, level - 5, SvgCanvas.Fit(name, plot.Width), "value", "end");
        }

        return canvas.Close(bottom);
    }

    /// <summary>The share of samples at or below each value, as a step line.</summary>
    internal static PlotLine Distribution(string name, int colour, IEnumerable<double> samples, string stroke = "")
    {
        double[] sorted = [.. samples.Where(double.IsFinite).Order()];
        return new PlotLine(name, colour, [.. sorted.Take(1).Select(v => new LinePoint(v, 0)), .. sorted.Select((v, i) => new LinePoint(v, (i + 1.0) / sorted.Length))], stroke, true);
    }

    private static void Band(SvgCanvas canvas, PictureBox plot, AxisScale x, AxisScale y, PlotLine line)
    {
        LinePoint[] known = [.. line.Points.Where(p => Shown(x, p.X) && p is { Low: { } low, High: { } high } && Shown(y, low) && Shown(y, high))];
        if (known.Length == 1) canvas.Line(X(plot, x, known[0].X), Y(plot, y, known[0].Low!.Value), X(plot, x, known[0].X), Y(plot, y, known[0].High!.Value), $"trace k{line.Colour}");
        if (known.Length < 2) return;
        canvas.Polygon([.. known.Select(p => (X(plot, x, p.X), Y(plot, y, p.Low!.Value))), .. known.Reverse().Select(p => (X(plot, x, p.X), Y(plot, y, p.High!.Value)))], $"band c{line.Colour}");
    }

    private static void Line(SvgCanvas canvas, PictureBox plot, PlotAxis x, PlotAxis y, PlotLine line)
    {
        LinePoint[] shown = [.. line.Points.Where(p => Shown(x.Scale, p.X) && Shown(y.Scale, p.Y))];
        (double X, double Y)[] points = [.. shown.Select(p => (X(plot, x.Scale, p.X), Y(plot, y.Scale, p.Y)))];
        if (line.IsDrawn) canvas.Polyline(line.IsStepped ? Steps(points) : points, $"trace k{line.Colour} {line.Stroke}".TrimEnd(), line.Name);
        if (!line.HasMarks && points.Length > 1) return;
        for (int i = 0; i < points.Length; i++) canvas.Diamond(points[i].X, points[i].Y, 5, $"c{line.Colour}", $"{line.Name}: {y.Text(shown[i].Y)} at {x.Text(shown[i].X)}");
    }

    private static IEnumerable<(double X, double Y)> Steps((double X, double Y)[] points)
    {
        for (int i = 0; i < points.Length; i++)
        {
            if (i > 0 && points[i].X != points[i - 1].X) yield return (points[i].X, points[i - 1].Y);
            yield return points[i];
        }
    }

    private static bool Shown(AxisScale scale, double value) => double.IsFinite(value) && scale.Holds(value);

    private static double X(in PictureBox plot, AxisScale scale, double value) => plot.Left + plot.Width * scale.At(value);

    private static double Y(in PictureBox plot, AxisScale scale, double value) => plot.Bottom - plot.Height * scale.At(value);
}
