using System.Xml.Linq;
using KvHandoff.Bench.Charts;
using static KvHandoff.Bench.Tests.Charts.DrawnAxis;

namespace KvHandoff.Bench.Tests.Charts;

/// <summary>What stands at which place: values are read off the pictures by their own axes and compared with the data.</summary>
public sealed class ChartTests
{
    private static readonly string[] Categories = ["one", "two", "three"];

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Bars_reach_their_values_and_caps_their_deviations(int size)
    {
        BarSeries[] series = [new("server", 0, Hatch.None, [new(3.1, 2.5, 3.7), new(0.4, -0.2, 1.0), null]), new("client", 1, Hatch.Rising, [new(4.2, 4.0, 4.4), new(1.3), new(2.6, 2.4, 2.8)])];
        XElement picture = XElement.Parse(BarChart.Draw("bars", (ChartSize)size, "about", "Latency (s)", Categories, series, v => ChartNumber.Short(v)));
        DrawnAxis axis = Upright(picture);
        XElement[] bars = [.. picture.Elements("rect").Where(r => TitleOf(r).Length > 0)];
        BarValue[] expected = [series[0].Values[0]!, series[1].Values[0]!, series[0].Values[1]!, series[1].Values[1]!, series[1].Values[2]!];
        Assert.Equal(expected.Length, bars.Length);
        for (int i = 0; i < bars.Length; i++)
        {
            Assert.Equal(expected[i].Value, axis.Read(N(bars[i], "y")), 0.02);
            Assert.Equal(0, axis.Read(N(bars[i], "y") + N(bars[i], "height")), 0.02);
        }

        // Upright strokes of the caps, cut at the axis where the deviation is larger than the mean.
        double[][] caps = [.. Of(picture, "line", "cap").Where(l => N(l, "x1") == N(l, "x2")).Select(l => new[] { axis.Read(N(l, "y1")), axis.Read(N(l, "y2")) })];
        Assert.Equal(4, caps.Length);
        double[][] wanted = [[2.5, 3.7], [4.0, 4.4], [0, 1.0], [2.4, 2.8]];
        for (int i = 0; i < caps.Length; i++) Assert.All([0, 1], end => Assert.Equal(wanted[i][end], caps[i][end], 0.02));
        Assert.Single(picture.Elements("text"), t => t.Value.StartsWith('–'));
        Assert.Single(picture.Descendants("pattern"));
    }

    [Fact]
    public void Stacked_parts_have_their_heights_and_stand_on_each_other()
    {
        StackPart[] parts = [new("queue", 5, Hatch.Dotted, [0.5, 0, null]), new("prompt", 0, Hatch.None, [1.5, 2.5, null]), new("completion", 2, Hatch.Level, [2, 0.75, null])];
        XElement picture = XElement.Parse(StackedBarChart.Draw("stack", ChartSize.Medium, "about", "Time (s)", Categories, parts, v => ChartNumber.Short(v)));
        DrawnAxis axis = Upright(picture);
        XElement[] bars = [.. picture.Elements("rect").Where(r => TitleOf(r).Length > 0)];
        double[] heights = [0.5, 1.5, 2, 2.5, 0.75];
        Assert.Equal(heights.Length, bars.Length);
        double unit = axis.Read(0) - axis.Read(1);
        for (int i = 0; i < bars.Length; i++) Assert.Equal(heights[i], N(bars[i], "height") * unit, 0.02);
        Assert.Equal(N(bars[0], "y"), N(bars[1], "y") + N(bars[1], "height"), 0.02);
        Assert.Equal(["4", "3.25", "–"], picture.Elements("text").Where(t => (string?)t.Attribute("class") == "value").Select(t => t.Value));
    }

    [Fact]
    public void Box_statistics_are_Tukeys()
    {
        // Quartiles of 1..9 are 3, 5, 7; the fences lie at -3 and 13.
        BoxStatistics box = BoxStatistics.Of([9, 1, 8, 2, 7, 3, 6, 4, 5])!;
        Assert.Equal((1, 3, 5, 7, 9), (box.LowerWhisker, box.LowerQuartile, box.Median, box.UpperQuartile, box.UpperWhisker));
        Assert.Empty(box.Outliers);
        // Quartiles of these are 2, 3, 4 and the fences -1 and 7: 7 is the whisker, 7.5 and -2 lie beyond.
        box = BoxStatistics.Of([2, 2, 3, 4, 4, 7, 7.5, -2, 3, 3, 3, 2, double.NaN])!;
        Assert.Equal((2.0, 3.0, 4.0), (box.LowerQuartile, box.Median, box.UpperQuartile));
        Assert.Equal((2.0, 7.0), (box.LowerWhisker, box.UpperWhisker));
        Assert.Equal([-2, 7.5], box.Outliers);
        Assert.Equal(12, box.Count);
        Assert.Null(BoxStatistics.Of([double.PositiveInfinity]));
    }

    [Fact]
    public void Boxes_whiskers_and_outliers_stand_where_the_samples_are()
    {
        double[] samples = [1, 1.2, 1.4, 1.5, 1.6, 1.8, 2, 4];
        BoxStatistics box = BoxStatistics.Of(samples)!;
        XElement picture = XElement.Parse(BoxPlot.Draw("box", ChartSize.Medium, "about", ["a", "b", "c"], [new BoxPanel("Latency (s)", 0, v => ChartNumber.Short(v), [samples, [2.5], []])]));
        DrawnAxis axis = Upright(picture);
        XElement drawn = Assert.Single(Of(picture, "rect", "box"));
        Assert.Equal(box.UpperQuartile, axis.Read(N(drawn, "y")), 0.03);
        Assert.Equal(box.LowerQuartile, axis.Read(N(drawn, "y") + N(drawn, "height")), 0.03);
        Assert.Equal(box.Median, axis.Read(N(Assert.Single(Of(picture, "line", "median")), "y1")), 0.03);
        Assert.Equal(4, axis.Read(N(Assert.Single(Of(picture, "circle", "outlier")), "cy")), 0.03);
        Assert.Equal([1.0, 2.0], Of(picture, "line", "whisker").Where(l => N(l, "y1") == N(l, "y2")).Select(l => Math.Round(axis.Read(N(l, "y1")), 1)).Order());
        Assert.Equal(samples.Append(2.5).Order().Select(s => Math.Round(s, 1)), Of(picture, "circle", "sample").Select(c => Math.Round(axis.Read(N(c, "cy")), 1)).Order());
        // Of a single sample only the diamond; where there is none, words.
        Assert.Equal(2, Of(picture, "path", "mean").Length);
        Assert.Single(picture.Elements("text"), t => t.Value == "no sample");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Cells_have_their_numbers_and_redder_ones_are_larger(int size)
    {
        double?[][] values = [[0, 25, 50], [75, null, 100]];
        XElement picture = XElement.Parse(HeatmapChart.Draw("heat", (ChartSize)size, "about", "Relative standard deviation (%)", ["r1", "r2"], ["c1", "c2", "c3"], values, v => ChartNumber.Short(v)));
        XElement[] cells = Of(picture, "rect", "cell");
        Assert.Equal(5, cells.Length);
        Assert.Single(Of(picture, "rect", "empty"));
        foreach (double value in new double[] { 0, 25, 50, 75, 100 })
            Assert.Equal(HeatmapChart.Hex(HeatmapChart.Colour(value / 100)), (string)Assert.Single(cells, c => TitleOf(c).EndsWith($": {value}", StringComparison.Ordinal)).Attribute("fill")!);
        Assert.Equal(["0", "25", "50", "75", "100"], cells.Select(c => TitleOf(c).Split(": ")[1]).OrderBy(double.Parse));
        double[] lightness = [.. Enumerable.Range(0, 21).Select(i => HeatmapChart.Colour(i / 20.0)).Select(c => 0.2126 * c.R + 0.7152 * c.G + 0.0722 * c.B)];
        Assert.Equal(lightness.OrderDescending(), lightness);
        Assert.Equal(48, Of(picture, "rect", "bar").Length);
        Assert.Single(picture.Elements("text"), t => t.Value == "Relative standard deviation (%)");
    }

    [Fact]
    public void Lines_go_through_their_points_on_logarithmic_and_level_axes()
    {
        LinePoint[] points = [new(1, 10, 8, 12), new(10, 30, 25, 33), new(100, 20, 19, 26), new(double.NaN, 1), new(50, double.PositiveInfinity)];
        XElement picture = XElement.Parse(LineChart.Draw("line", ChartSize.Medium, "about", new PlotAxis("load", AxisScale.Decades([1, 100]), v => ChartNumber.Short(v)), new PlotAxis("ms", AxisScale.FromZero([33]), v => ChartNumber.Short(v)), [new PlotLine("p50", 0, points, HasMarks: true)], [(15, "objective")]));
        DrawnAxis x = Level(picture), y = Upright(picture);
        (double X, double Y)[] line = Points(Assert.Single(Of(picture, "polyline", "trace")));
        Assert.Equal(3, line.Length);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(points[i].X, x.ReadLogarithmic(line[i].X), points[i].X * 0.01);
            Assert.Equal(points[i].Y, y.Read(line[i].Y), 0.2);
        }

        double[] band = [.. Points(Assert.Single(Of(picture, "polygon", "band"))).Select(p => y.Read(p.Y))];
        Assert.Equal([8.0, 25, 19, 26, 33, 12], band.Select(v => Math.Round(v)));
        Assert.Equal(15, y.Read(N(Assert.Single(Of(picture, "line", "rule")), "y1")), 0.2);
        Assert.Equal(3, picture.Elements("path").Count());
    }

    [Fact]
    public void A_distribution_rises_by_one_share_per_sample()
    {
        PlotLine line = LineChart.Distribution("d", 0, [3, 1, 2, 2, double.NaN]);
        Assert.Equal([new(1, 0), new(1, 0.25), new(2, 0.5), new(2, 0.75), new(3, 1)], line.Points);
        Assert.Empty(LineChart.Distribution("d", 0, []).Points);
    }

    [Fact]
    public void Rows_over_time_have_their_lengths_and_the_step_line_its_heights()
    {
        LegendEntry[] kinds = [new("wait", 5, Hatch.Dotted), new("work", 0)];
        GanttRow[] rows = [new("a", [new(0, 1, 0), new(1, 4, 1)], "a"), new("b", [new(2, 3.5, 1), new(double.NaN, 2, 1), new(5, 4, 0)], "b", true)];
        XElement picture = XElement.Parse(GanttChart.Draw("gantt", ChartSize.Large, "about", new AxisScale(0, 5), v => ChartNumber.Short(v), kinds, rows, 20, "seconds", [(2.5, "mark")], ("at once", [new(0, 0), new(0, 1), new(2, 2), new(3.5, 1), new(4, 0)])));
        DrawnAxis x = Level(picture);
        XElement[] bars = [.. picture.Elements("rect").Where(r => TitleOf(r).Length > 0)];
        (double From, double To)[] expected = [(0, 1), (1, 4), (2, 3.5)];
        Assert.Equal(expected.Length, bars.Length);
        for (int i = 0; i < bars.Length; i++)
        {
            Assert.Equal(expected[i].From, x.Read(N(bars[i], "x")), 0.02);
            Assert.Equal(expected[i].To, x.Read(N(bars[i], "x") + N(bars[i], "width")), 0.02);
        }

        Assert.Equal(N(bars[0], "y"), N(bars[1], "y"));
        Assert.Equal(N(bars[1], "y") + 20, N(bars[2], "y"), 0.02);
        Assert.Equal(2.5, x.Read(N(Assert.Single(Of(picture, "line", "rule")), "x1")), 0.02);
        Assert.Single(Of(picture, "path", "failed"));
        (double X, double Y)[] steps = Points(Assert.Single(Of(picture, "polyline", "trace")));
        double bottom = steps.Max(p => p.Y), top = steps.Min(p => p.Y);
        Assert.Equal([0.0, 1, 1, 2, 2, 1, 1, 0], steps.Skip(2).Select(p => Math.Round((bottom - p.Y) / (bottom - top) * 2)));
        Assert.Equal([0.0, 0, 2, 2, 3.5, 3.5, 4, 4], steps.Skip(2).Select(p => Math.Round(x.Read(p.X), 2)));
    }

    [Fact]
    public void Intervals_lie_around_their_values()
    {
        IntervalRow[] rows = [new("ttft", 12, 5, 20, 1, "+12 % loss"), new("speed", -4, null, null, 5, "-4 %")];
        XElement picture = XElement.Parse(IntervalChart.Draw("interval", ChartSize.Medium, "about", "difference (%)", rows, v => ChartNumber.Short(v)));
        DrawnAxis x = Level(picture);
        Assert.Equal([12.0, -4], picture.Elements("circle").Select(c => Math.Round(x.Read(N(c, "cx")), 1)));
        XElement range = Assert.Single(Of(picture, "line", "trace"), l => N(l, "x1") != N(l, "x2"));
        Assert.Equal((5, 20), (Math.Round(x.Read(N(range, "x1"))), Math.Round(x.Read(N(range, "x2")))));
    }

    [Fact]
    public void A_coordinate_that_is_no_number_is_refused_and_text_is_escaped()
    {
        var canvas = new SvgCanvas("c", 100, "a \"quoted\" <text> \u0001");
        Assert.Contains("NaN", Assert.Throws<ArgumentException>(() => canvas.Line(0, double.NaN, 1, 1, "grid")).Message, StringComparison.Ordinal);
        canvas.Text(0, 0, "<script>&'\"");
        XElement picture = XElement.Parse(canvas.Close(10));
        Assert.Equal("<script>&'\"", picture.Element("text")!.Value);
        Assert.Equal("a \"quoted\" <text> \uFFFD", (string)picture.Attribute("aria-label")!);
    }

    [Fact]
    public void A_chart_alone_is_a_whole_file_without_custom_properties()
    {
        XDocument file = XDocument.Parse(ChartTheme.Standalone(StackedBarChart.Draw("s", ChartSize.Medium, "about", "y", ["a"], [new StackPart("p", 0, Hatch.Rising, [1])], v => ChartNumber.Short(v))));
        XNamespace svg = "http://www.w3.org/2000/svg";
        Assert.Equal(svg + "svg", file.Root!.Name);
        Assert.Equal("580", (string)file.Root.Attribute("width")!);
        Assert.NotEmpty(file.Root.Elements(svg + "rect"));
        Assert.DoesNotContain("var(", file.ToString(), StringComparison.Ordinal);
    }
}
