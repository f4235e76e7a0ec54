using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>One entry of a legend.</summary>
/// <param name="Name">Series.</param>
/// <param name="Colour">Of the theme.</param>
/// <param name="Hatch">Of boxes.</param>
/// <param name="Line">Class of a line ("", "dashed", "dots"); null for a box.</param>
internal sealed record LegendEntry(string Name, int Colour, Hatch Hatch = Hatch.None, string? Line = null);

/// <summary>What all charts have around their data: name of the axis, legend, grid, ticks, categories.</summary>
internal static class ChartFrame
{
    internal const double Gap = 8;

    private const double KeySize = 11, EntryGap = 16;
    private const int MostNameLines = 4;

    /// <summary>Writes the axis's name and the legend from <paramref name="top"/> down; returns where the plot may begin.</summary>
    internal static double Head(SvgCanvas canvas, string axisName, IReadOnlyList<LegendEntry> legend, double top = 0)
    {
        double y = top + SvgCanvas.TextSize;
        if (axisName.Length > 0)
        {
            canvas.Text(0, y, SvgCanvas.Fit(axisName, canvas.Width), "strong");
            y += SvgCanvas.LineHeight + 3;
        }

        if (legend.Count > 1)
        {
            double x = 0;
            foreach (LegendEntry entry in legend)
            {
                string name = SvgCanvas.Fit(entry.Name, canvas.Width - KeySize - 6);
                double width = KeySize + 6 + SvgCanvas.WidthOf(name);
                if (x > 0 && x + width > canvas.Width)
                {
                    x = 0;
                    y += SvgCanvas.LineHeight + 2;
                }

                if (entry.Line is { } line) canvas.Line(x, y - 4, x + KeySize + 2, y - 4, $"trace k{entry.Colour} {line}".TrimEnd());
                else canvas.Bar(new PictureBox(x, y - KeySize + 1, KeySize, KeySize), entry.Colour, entry.Hatch);
                canvas.Text(x + KeySize + 6, y, name);
                x += width + EntryGap;
            }

            y += SvgCanvas.LineHeight;
        }

        return y;
    }

    /// <summary>Room that the ticks of an axis at the left need.</summary>
    internal static double Left(AxisScale scale, Func<double, string> text, int ticks = 5) => scale.Ticks(ticks).Select(t => SvgCanvas.WidthOf(text(t))).DefaultIfEmpty(0).Max() + Gap;

    /// <summary>Level grid lines with their values at the left.</summary>
    internal static void Values(SvgCanvas canvas, in PictureBox plot, AxisScale scale, Func<double, string> text, int ticks = 5)
    {
        foreach (double tick in scale.Ticks(ticks))
        {
            double y = plot.Bottom - plot.Height * scale.At(tick);
            canvas.Line(plot.Left, y, plot.Right, y, tick == 0 ? "axis" : "grid");
            canvas.Text(plot.Left - Gap + 2, y + 4, text(tick), anchor: "end");
        }
    }

    /// <summary>Upright grid lines with their values below; returns where the next line of text may stand. Values that would touch are left out; other values than round ones can be given.</summary>
    internal static double Below(SvgCanvas canvas, in PictureBox plot, AxisScale scale, Func<double, string> text, string axisName, int ticks = 6, IReadOnlyList<double>? at = null)
    {
        double end = double.NegativeInfinity;
        foreach (double tick in at ?? scale.Ticks(ticks))
        {
            double x = plot.Left + plot.Width * scale.At(tick), half = SvgCanvas.WidthOf(text(tick)) / 2;
            canvas.Line(x, plot.Top, x, plot.Bottom, "grid");
            double middle = Math.Clamp(x, half, Math.Max(half, canvas.Width - half));
            if (middle - half < end + 4) continue;
            canvas.Text(middle, plot.Bottom + SvgCanvas.LineHeight, text(tick), anchor: "middle");
            end = middle + half;
        }

        if (axisName.Length == 0) return plot.Bottom + SvgCanvas.LineHeight + 6;
        canvas.Text((plot.Left + plot.Right) / 2, plot.Bottom + 2 * SvgCanvas.LineHeight + 3, SvgCanvas.Fit(axisName, plot.Width + plot.Left), "strong", "middle");
        return plot.Bottom + 2 * SvgCanvas.LineHeight + 10;
    }

    /// <summary>Names of categories below the plot, in a few lines each; returns the bottom.</summary>
    internal static double Categories(SvgCanvas canvas, in PictureBox plot, IReadOnlyList<string> names)
    {
        double slot = plot.Width / names.Count;
        int most = 1;
        for (int i = 0; i < names.Count; i++)
        {
            string[] lines = Wrap(names[i], slot - 4, MostNameLines);
            most = Math.Max(most, lines.Length);
            for (int l = 0; l < lines.Length; l++) canvas.Text(plot.Left + slot * (i + 0.5), plot.Bottom + SvgCanvas.LineHeight * (l + 1), lines[l], "strong", "middle", lines.Length * 40 < names[i].Length ? names[i] : null);
        }

        return plot.Bottom + SvgCanvas.LineHeight * most + 6;
    }

    /// <summary>Words over lines of so much room; what does not fit ends in an ellipsis.</summary>
    internal static string[] Wrap(string text, double room, int mostLines)
    {
        var lines = new List<string>();
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (lines.Count > 0 && SvgCanvas.WidthOf(lines[^1] + " " + word) <= room) lines[^1] += " " + word;
            else if (lines.Count < mostLines) lines.Add(word);
            else
            {
                lines[^1] += " …";
                break;
            }
        }

        return [.. lines.Select(l => SvgCanvas.Fit(l, room))];
    }
}
