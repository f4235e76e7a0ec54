using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>One panel: samples per category.</summary>
internal sealed record BoxPanel(string Name, int Colour, Func<double, string> Text, IReadOnlyList<IReadOnlyList<double>> Samples);

/// <summary>Box plots of raw samples: panels below each other, or in two columns where there is room, over the same categories.</summary>
internal static class BoxPlot
{
    private const double PlotHeight = 150, MostBox = 60, PanelGap = 26;

    // Beyond so many, single samples say no more than the box.
    private const int MostDots = 40;

    internal static string Draw(string id, ChartSize size, string about, IReadOnlyList<string> categories, IReadOnlyList<BoxPanel> panels)
    {
        var canvas = new SvgCanvas(id, size.Width(), about);
        int columns = size == ChartSize.Large && panels.Count > 1 ? 2 : 1;
        double width = (canvas.Width - (columns - 1) * PanelGap * 2) / columns, top = 0, bottom = 0;
        for (int p = 0; p < panels.Count; p++)
        {
            int column = p % columns;
            if (column == 0) top = bottom + (p == 0 ? 0 : PanelGap / 2);
            double end = Panel(canvas, column * (width + PanelGap * 2), top, width, categories, panels[p]);
            bottom = Math.Max(column == 0 ? 0 : bottom, end);
        }

        return canvas.Close(bottom);
    }

    private static double Panel(SvgCanvas canvas, double x, double top, double width, IReadOnlyList<string> categories, BoxPanel panel)
    {
        AxisScale scale = Scale(panel.Samples);
        canvas.Text(x, top + SvgCanvas.TextSize, panel.Name, "name");
        double left = ChartFrame.Left(scale, panel.Text, 4);
        var plot = new PictureBox(x + left, top + SvgCanvas.LineHeight + 10, width - left, PlotHeight);
        ChartFrame.Values(canvas, plot, scale, panel.Text, 4);
        double slot = plot.Width / categories.Count;
        for (int c = 0; c < categories.Count; c++)
        {
            double middle = plot.Left + slot * (c + 0.5);
            if (BoxStatistics.Of(panel.Samples[c]) is { } box) Box(canvas, plot, scale, middle, Math.Min(MostBox, slot * 0.5), panel, categories[c], panel.Samples[c], box);
            else canvas.Text(middle, plot.Bottom - 8, "no sample", "tick", "middle");
        }

        return ChartFrame.Categories(canvas, plot, categories);
    }

    private static void Box(SvgCanvas canvas, PictureBox plot, AxisScale scale, double middle, double width, BoxPanel panel, string category, IReadOnlyList<double> samples, BoxStatistics box)
    {
        double Y(double value) => plot.Bottom - plot.Height * scale.At(value);
        double half = width / 2;
        string title = $"{category}, {box.Count} samples: median {panel.Text(box.Median)}, quartiles {panel.Text(box.LowerQuartile)} and {panel.Text(box.UpperQuartile)}, whiskers {panel.Text(box.LowerWhisker)} and {panel.Text(box.UpperWhisker)}, mean {panel.Text(box.Mean)}, {box.Outliers.Count} outliers";
        if (box.Count > 1)
        {
            canvas.Line(middle, Y(box.UpperQuartile), middle, Y(box.UpperWhisker), "whisker");
            canvas.Line(middle, Y(box.LowerQuartile), middle, Y(box.LowerWhisker), "whisker");
            canvas.Line(middle - half / 2, Y(box.UpperWhisker), middle + half / 2, Y(box.UpperWhisker), "whisker");
            canvas.Line(middle - half / 2, Y(box.LowerWhisker), middle + half / 2, Y(box.LowerWhisker), "whisker");
            canvas.Rectangle(new PictureBox(middle - half, Y(box.UpperQuartile), width, Math.Max(1, Y(box.LowerQuartile) - Y(box.UpperQuartile))), $"box c{panel.Colour} k{panel.Colour}", title);
            canvas.Line(middle - half, Y(box.Median), middle + half, Y(box.Median), "median");
        }

        if (box.Count <= MostDots)
        {
            int i = 0;
            // Beside the box, spread a little so that equal samples show as several.
            foreach (double sample in samples.Where(double.IsFinite)) canvas.Circle(middle + half + 7 + i++ % 3 * 4, Y(sample), 1.8, "sample");
        }

        foreach (double outlier in box.Outliers) canvas.Circle(middle, Y(outlier), 3, "outlier", $"{category}: outlier at {panel.Text(outlier)}");
        canvas.Diamond(middle, Y(box.Mean), 4.5, "mean", box.Count == 1 ? $"{category}: the only sample, {panel.Text(box.Mean)}" : $"{category}: mean {panel.Text(box.Mean)}");
    }

    // From 0 unless all samples lie in the upper part: then the spread would vanish.
    private static AxisScale Scale(IReadOnlyList<IReadOnlyList<double>> samples)
    {
        double[] all = [.. samples.SelectMany(s => s).Where(double.IsFinite)];
        return all.Length > 0 && (all.Min() < 0 || all.Min() > 0.6 * all.Max()) ? AxisScale.Around(all, 4) : AxisScale.FromZero(all, 4);
    }
}
