using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>A part of every bar.</summary>
internal sealed record StackPart(string Name, int Colour, Hatch Hatch, IReadOnlyList<double?> Values);

/// <summary>Bars made of parts, with the sum above.</summary>
internal static class StackedBarChart
{
    private const double MostBar = 110, Share = 0.6;

    internal static string Draw(string id, ChartSize size, string about, string axisName, IReadOnlyList<string> categories, IReadOnlyList<StackPart> parts, Func<double, string> text, double plotHeight = 230)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        return canvas.Close(Into(canvas, 0, axisName, categories, parts, text, plotHeight));
    }

    /// <summary>As one panel of a picture, from <paramref name="top"/> down; returns its bottom.</summary>
    internal static double Into(SvgCanvas canvas, double top, string axisName, IReadOnlyList<string> categories, IReadOnlyList<StackPart> parts, Func<double, string> text, double plotHeight = 230)
    {
        double[] sums = [.. categories.Select((_, c) => parts.Sum(p => Math.Max(0, p.Values[c] ?? 0)))];
        var scale = AxisScale.FromZero(sums);
        top = ChartFrame.Head(canvas, axisName, [.. parts.Select(p => new LegendEntry(p.Name, p.Colour, p.Hatch))], top) + 14;
        double left = ChartFrame.Left(scale, text);
        var plot = new PictureBox(left, top, canvas.Width - left, plotHeight);
        ChartFrame.Values(canvas, plot, scale, text);
        double slot = plot.Width / categories.Count, bar = Math.Min(MostBar, slot * Share);
        for (int c = 0; c < categories.Count; c++)
        {
            double x = plot.Left + slot * (c + 0.5) - bar / 2, y = plot.Bottom;
            foreach (StackPart part in parts)
            {
                if (part.Values[c] is not { } value || !(value > 0)) continue;
                double height = plot.Height * scale.At(value);
                y -= height;
                canvas.Bar(new PictureBox(x, y, bar, height), part.Colour, part.Hatch, $"{categories[c]}, {part.Name}: {text(value)}");
            }

            canvas.Text(x + bar / 2, y - 5, parts.All(p => p.Values[c] is null) ? ChartNumber.Unknown : text(sums[c]), "value", "middle");
        }

        return ChartFrame.Categories(canvas, plot, categories);
    }
}
