using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>One bar, with caps where its spread is known.</summary>
internal sealed record BarValue(double Value, double? Low = null, double? High = null);

/// <summary>Bars of one colour, one per category; null where a category has none.</summary>
internal sealed record BarSeries(string Name, int Colour, Hatch Hatch, IReadOnlyList<BarValue?> Values);

/// <summary>Groups of bars over categories, side by side.</summary>
internal static class BarChart
{
    private const double MostBar = 54, Share = 0.72;

    internal static string Draw(string id, ChartSize size, string about, string axisName, IReadOnlyList<string> categories, IReadOnlyList<BarSeries> series, Func<double, string> text, double plotHeight = 230)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        return canvas.Close(Into(canvas, 0, axisName, categories, series, text, plotHeight));
    }

    /// <summary>As one panel of a picture, from <paramref name="top"/> down; returns its bottom.</summary>
    internal static double Into(SvgCanvas canvas, double top, string axisName, IReadOnlyList<string> categories, IReadOnlyList<BarSeries> series, Func<double, string> text, double plotHeight = 230)
    {
        AxisScale scale = Scale(series);
        top = ChartFrame.Head(canvas, axisName, [.. series.Select(s => new LegendEntry(s.Name, s.Colour, s.Hatch))], top) + 12;
        double left = ChartFrame.Left(scale, text);
        var plot = new PictureBox(left, top, canvas.Width - left, plotHeight);
        ChartFrame.Values(canvas, plot, scale, text);
        double slot = plot.Width / categories.Count, bar = Math.Min(MostBar, slot * Share / series.Count), zero = Y(plot, scale, Math.Max(0, scale.Least));
        for (int c = 0; c < categories.Count; c++)
        {
            double x = plot.Left + slot * (c + 0.5) - bar * series.Count / 2;
            foreach (BarSeries s in series)
            {
                if (s.Values[c] is { } value && double.IsFinite(value.Value)) Bar(canvas, plot, scale, x, bar, zero, s, value, $"{categories[c]}, {s.Name}: {text(value.Value)}", text);
                else canvas.Text(x + bar / 2, zero - 5, ChartNumber.Unknown, "tick", "middle", "not known");
                x += bar;
            }
        }

        return ChartFrame.Categories(canvas, plot, categories);
    }

    private static void Bar(SvgCanvas canvas, in PictureBox plot, AxisScale scale, double x, double width, double zero, BarSeries series, BarValue value, string title, Func<double, string> text)
    {
        double y = Y(plot, scale, value.Value), middle = x + width / 2, top = Math.Min(y, zero);
        canvas.Bar(new PictureBox(x + 1, top, width - 2, Math.Abs(zero - y)), series.Colour, series.Hatch, title);
        if (value is { Low: { } low, High: { } high } && high > low)
        {
            double y0 = Y(plot, scale, Math.Max(low, scale.Least)), y1 = Y(plot, scale, Math.Min(high, scale.Most)), half = Math.Min(6, width / 4);
            canvas.Line(middle, y0, middle, y1, "cap");
            canvas.Line(middle - half, y0, middle + half, y0, "cap");
            canvas.Line(middle - half, y1, middle + half, y1, "cap");
            top = Math.Min(top, y1);
        }

        string label = text(value.Value);
        if (SvgCanvas.WidthOf(label) <= width + 4) canvas.Text(middle, top - 5, label, "value", "middle");
    }

    // From 0, down to what is negative, and up to the caps.
    private static AxisScale Scale(IReadOnlyList<BarSeries> series)
    {
        double[] values = [.. series.SelectMany(s => s.Values).OfType<BarValue>().SelectMany(v => new[] { v.Value, v.High ?? v.Value }).Where(double.IsFinite)];
        return values.Any(v => v < 0) ? AxisScale.Around([.. values, 0]) : AxisScale.FromZero(values);
    }

    private static double Y(in PictureBox plot, AxisScale scale, double value) => plot.Bottom - plot.Height * scale.At(value);
}
