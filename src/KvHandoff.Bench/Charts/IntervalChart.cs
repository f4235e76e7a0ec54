using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>A value with its interval; null where there were too few samples for one.</summary>
internal sealed record IntervalRow(string Name, double Value, double? Low, double? High, int Colour, string EndText);

/// <summary>Values with their intervals on both sides of 0: what changed for certain, and what did not.</summary>
internal static class IntervalChart
{
    private const double RowHeight = 26;

    internal static string Draw(string id, ChartSize size, string about, string axisName, IReadOnlyList<IntervalRow> rows, Func<double, string> text)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        // Names stand above their row where the page is narrow.
        bool isAbove = size == ChartSize.Small;
        double height = isAbove ? RowHeight + SvgCanvas.LineHeight : RowHeight;
        double left = isAbove ? 6 : Math.Min(canvas.Width * 0.4, rows.Max(r => SvgCanvas.WidthOf(r.Name)) + ChartFrame.Gap), right = isAbove ? 6 : rows.Max(r => SvgCanvas.WidthOf(r.EndText)) + 10;
        var scale = AxisScale.Around([0, .. rows.SelectMany(r => new[] { r.Value, r.Low ?? r.Value, r.High ?? r.Value })]);
        var plot = new PictureBox(left, 6, canvas.Width - left - right, height * rows.Count);
        double X(double value) => plot.Left + plot.Width * scale.At(value);
        double bottom = ChartFrame.Below(canvas, plot, scale, text, axisName, isAbove ? 4 : 6);
        canvas.Line(X(0), plot.Top, X(0), plot.Bottom, "axis");
        for (int r = 0; r < rows.Count; r++)
        {
            IntervalRow row = rows[r];
            double y = plot.Top + height * (r + (isAbove ? 0.75 : 0.5));
            if (isAbove) canvas.Text(0, y - 12, SvgCanvas.Fit($"{row.EndText}: {row.Name}", canvas.Width), "value");
            else
            {
                canvas.Text(left - ChartFrame.Gap, y + 4, SvgCanvas.Fit(row.Name, left - ChartFrame.Gap), "strong", "end", row.Name);
                canvas.Text(plot.Right + 8, y + 4, row.EndText, "strong");
            }

            if (row is { Low: { } low, High: { } high })
            {
                canvas.Line(X(low), y, X(high), y, $"trace k{row.Colour}");
                canvas.Line(X(low), y - 4, X(low), y + 4, $"trace k{row.Colour}");
                canvas.Line(X(high), y - 4, X(high), y + 4, $"trace k{row.Colour}");
            }

            canvas.Circle(X(row.Value), y, 4.5, $"c{row.Colour}", $"{row.Name}: {text(row.Value)}");
        }

        return canvas.Close(bottom);
    }
}
