using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>A stretch of a row: from, to, and what it is.</summary>
internal readonly record struct GanttPart(double From, double To, int Kind);

/// <summary>One row: its name, its parts, and what is shown at its end.</summary>
internal sealed record GanttRow(string Name, IReadOnlyList<GanttPart> Parts, string Title, bool IsFailed = false, string EndText = "");

/// <summary>Rows of stretches over one time axis, with a step line of concurrency beneath where one is given.</summary>
internal static class GanttChart
{
    private const double StepHeight = 70;

    /// <param name="kinds">What the parts can be, for colours and legend.</param>
    /// <param name="rows">From top to bottom.</param>
    /// <param name="rowHeight">Units; names are written where it leaves room for text.</param>
    /// <param name="marks">Points in time with a name each.</param>
    /// <param name="beneath">Name and points of the step line.</param>
    internal static string Draw(string id, ChartSize size, string about, AxisScale time, Func<double, string> text, IReadOnlyList<LegendEntry> kinds, IReadOnlyList<GanttRow> rows, double rowHeight, string axisName = "", IReadOnlyList<(double At, string Name)>? marks = null, (string Name, IReadOnlyList<LinePoint> Points)? beneath = null)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        bool isNamed = rowHeight >= SvgCanvas.TextSize;
        double top = ChartFrame.Head(canvas, "", kinds) + (marks is { Count: > 0 } ? marks.Count * SvgCanvas.LineHeight + 8 : 6);
        double left = isNamed ? Math.Min(canvas.Width * 0.3, rows.Select(r => SvgCanvas.WidthOf(r.Name)).DefaultIfEmpty(0).Max() + ChartFrame.Gap) : beneath is null ? 4 : 30;
        double right = rows.Select(r => SvgCanvas.WidthOf(r.EndText)).DefaultIfEmpty(0).Max() + 8;
        var plot = new PictureBox(left, top, canvas.Width - left - right, rowHeight * rows.Count);
        double X(double at) => plot.Left + plot.Width * Math.Clamp(time.At(at), 0, 1);
        int ticks = size == ChartSize.Small ? 4 : 8;
        double bottom = ChartFrame.Below(canvas, plot, time, text, beneath is null ? axisName : "", ticks);
        // Rules first: texts keep clear of them.
        foreach ((double at, _) in marks ?? []) canvas.Line(X(at), top - 4, X(at), plot.Bottom, "rule");
        for (int r = 0; r < rows.Count; r++) Row(canvas, plot, rows[r], plot.Top + rowHeight * r, rowHeight, isNamed, kinds, X);
        for (int m = 0; m < (marks?.Count ?? 0); m++)
        {
            (double at, string name) = marks![m];
            double x = X(at), width = SvgCanvas.WidthOf(name), y = top - 12 - (marks.Count - 1 - m) * SvgCanvas.LineHeight;
            canvas.Text(Math.Clamp(x, width / 2, Math.Max(width / 2, canvas.Width - width / 2)), y, name, "value", "middle");
        }

        if (beneath is { } step) bottom = Beneath(canvas, new PictureBox(plot.Left, bottom + SvgCanvas.LineHeight + 4, plot.Width, StepHeight), time, text, axisName, step.Name, step.Points, ticks);
        return canvas.Close(bottom);
    }

    private static void Row(SvgCanvas canvas, in PictureBox plot, GanttRow row, double top, double height, bool isNamed, IReadOnlyList<LegendEntry> kinds, Func<double, double> x)
    {
        double inset = height > 8 ? height * 0.14 : height * 0.06, end = plot.Left;
        if (isNamed) canvas.Text(plot.Left - ChartFrame.Gap, top + height / 2 + 4, SvgCanvas.Fit(row.Name, plot.Left - ChartFrame.Gap), "strong", "end", row.Name);
        foreach (GanttPart part in row.Parts)
        {
            if (!double.IsFinite(part.From) || !double.IsFinite(part.To) || part.To < part.From) continue;
            LegendEntry kind = kinds[part.Kind];
            canvas.Bar(new PictureBox(x(part.From), top + inset, Math.Max(0.75, x(part.To) - x(part.From)), height - 2 * inset), kind.Colour, kind.Hatch, $"{row.Title}: {kind.Name}");
            end = Math.Max(end, x(part.To));
        }

        if (row.IsFailed) canvas.Diamond(end, top + height / 2, Math.Min(4, Math.Max(2, height / 2)), "failed", $"{row.Title}: failed");
        if (row.EndText.Length == 0) return;
        // Rules of marks do not run through the number.
        canvas.Rectangle(new PictureBox(end + 4, top + 2, SvgCanvas.WidthOf(row.EndText), height - 4), "backing");
        canvas.Text(end + 6, top + height / 2 + 4, row.EndText, "value");
    }

    private static double Beneath(SvgCanvas canvas, in PictureBox plot, AxisScale time, Func<double, string> text, string axisName, string name, IReadOnlyList<LinePoint> points, int ticks)
    {
        var scale = AxisScale.FromZero(points.Select(p => p.Y), 2);
        canvas.Text(plot.Left, plot.Top - 6, name, "strong");
        ChartFrame.Values(canvas, plot, scale, v => ChartNumber.Short(v), 2);
        double bottom = ChartFrame.Below(canvas, plot, time, text, axisName, ticks);
        var line = new List<(double X, double Y)>();
        double before = plot.Bottom;
        foreach (LinePoint p in points.Where(p => double.IsFinite(p.X) && double.IsFinite(p.Y)))
        {
            double x = plot.Left + plot.Width * Math.Clamp(time.At(p.X), 0, 1), y = plot.Bottom - plot.Height * scale.At(p.Y);
            line.Add((x, before));
            line.Add((x, y));
            before = y;
        }

        if (line.Count == 0) return bottom;
        canvas.Polygon([(line[0].X, plot.Bottom), .. line, (line[^1].X, plot.Bottom)], "band c0");
        canvas.Polyline(line, "trace k0", name);
        return bottom;
    }
}
