using System.Globalization;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>Values of rows and columns as colours, with the number in each cell and a bar that explains them; turned on its side where the page is narrow.</summary>
internal static class HeatmapChart
{
    private const double CellHeight = 46, SmallCellHeight = 30, ScaleHeight = 12;

    // From yellow over orange to red; lightness falls all the way, so that it reads in grey.
    private static readonly (int R, int G, int B)[] Stops = [(255, 255, 204), (255, 237, 160), (254, 217, 118), (254, 178, 76), (253, 141, 60), (252, 78, 42), (227, 26, 28), (177, 0, 38)];

    internal static string Draw(string id, ChartSize size, string about, string scaleName, IReadOnlyList<string> rows, IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<double?>> values, Func<double, string> text)
    {
        bool isTurned = size == ChartSize.Small;
        (IReadOnlyList<string> down, IReadOnlyList<string> across) = isTurned ? (columns, rows) : (rows, columns);
        var canvas = new SvgCanvas(id, size.Width(), about);
        var scale = AxisScale.FromZero(values.SelectMany(v => v).OfType<double>());
        double left = Math.Min(canvas.Width * 0.34, down.Max(SvgCanvas.WidthOf) + ChartFrame.Gap), height = isTurned ? SmallCellHeight : CellHeight;
        var plot = new PictureBox(left, 4, canvas.Width - left, height * down.Count);
        double slot = plot.Width / across.Count;
        for (int d = 0; d < down.Count; d++)
        {
            string[] lines = ChartFrame.Wrap(down[d], left - ChartFrame.Gap, 2);
            for (int l = 0; l < lines.Length; l++) canvas.Text(left - ChartFrame.Gap, plot.Top + height * (d + 0.5) + 4 + (l - (lines.Length - 1) / 2.0) * SvgCanvas.LineHeight, lines[l], "strong", "end");
            for (int a = 0; a < across.Count; a++)
            {
                double? value = isTurned ? values[a][d] : values[d][a];
                var cell = new PictureBox(plot.Left + slot * a, plot.Top + height * d, slot, height);
                if (value is not { } v || !double.IsFinite(v))
                {
                    canvas.Rectangle(cell, "empty", $"{down[d]}, {across[a]}: not known");
                    canvas.Text(cell.Left + slot / 2, cell.Top + height / 2 + 4, ChartNumber.Unknown, anchor: "middle");
                    continue;
                }

                (int R, int G, int B) colour = Colour(scale.At(v));
                canvas.Rectangle(cell, "cell", $"{down[d]}, {across[a]}: {text(v)}", Hex(colour));
                canvas.Text(cell.Left + slot / 2, cell.Top + height / 2 + 4, text(v), IsLight(colour) ? "onlight" : "ondark", "middle");
            }
        }

        return canvas.Close(Bar(canvas, plot, ChartFrame.Categories(canvas, plot, across) + 6, scale, scaleName, text));
    }

    /// <summary>The colour of a share of the scale.</summary>
    internal static (int R, int G, int B) Colour(double share)
    {
        double at = Math.Clamp(share, 0, 1) * (Stops.Length - 1);
        int below = Math.Min((int)at, Stops.Length - 2);
        (int R, int G, int B) a = Stops[below], b = Stops[below + 1];
        double rest = at - below;
        return ((int)Math.Round(a.R + rest * (b.R - a.R)), (int)Math.Round(a.G + rest * (b.G - a.G)), (int)Math.Round(a.B + rest * (b.B - a.B)));
    }

    internal static string Hex((int R, int G, int B) colour) => string.Create(CultureInfo.InvariantCulture, $"#{colour.R:x2}{colour.G:x2}{colour.B:x2}");

    private static double Bar(SvgCanvas canvas, in PictureBox plot, double top, AxisScale scale, string name, Func<double, string> text)
    {
        const int Steps = 48;
        double width = Math.Min(plot.Width, 420), step = width / Steps;
        for (int i = 0; i < Steps; i++) canvas.Rectangle(new PictureBox(plot.Left + i * step, top, step + 0.4, ScaleHeight), "bar", null, Hex(Colour((i + 0.5) / Steps)));
        foreach (double tick in scale.Ticks(4))
        {
            double x = plot.Left + width * scale.At(tick);
            canvas.Line(x, top + ScaleHeight, x, top + ScaleHeight + 4, "axis");
            double half = SvgCanvas.WidthOf(text(tick)) / 2;
            canvas.Text(Math.Clamp(x, plot.Left + half, canvas.Width - half), top + ScaleHeight + SvgCanvas.LineHeight + 2, text(tick), anchor: "middle");
        }

        double bottom = top + ScaleHeight + 2 * SvgCanvas.LineHeight + 6;
        canvas.Text(plot.Left, bottom, SvgCanvas.Fit(name, plot.Width), "strong");
        return bottom + 6;
    }

    // Black on it has the higher contrast.
    private static bool IsLight((int R, int G, int B) colour)
    {
        static double Linear(int channel) => channel / 255.0 <= 0.04045 ? channel / 255.0 / 12.92 : Math.Pow((channel / 255.0 + 0.055) / 1.055, 2.4);
        return 0.2126 * Linear(colour.R) + 0.7152 * Linear(colour.G) + 0.0722 * Linear(colour.B) > 0.183;
    }
}
