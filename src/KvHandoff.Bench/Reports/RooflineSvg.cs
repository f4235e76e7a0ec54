using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>The roofline as inline SVG in the page's own colours: both axes logarithmic, memory roofs slope, compute roofs are level.</summary>
internal static class RooflineSvg
{
    internal const int Width = 1000, Height = 560;

    private const double Left = 58, Top = 16, Right = 984, Bottom = 508, TickGap = 8, RoofTextSize = 12;

    internal static string Render(Roofline roofline)
    {
        var axes = RooflineAxes.Around(roofline, new PictureBox(Left, Top, Right - Left, Bottom - Top));
        var picture = new StringBuilder();
        picture.Append(CultureInfo.InvariantCulture, $"<svg class=\"roofline\" viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"Multiply-adds per second over multiply-adds per byte, below the memory and compute roofs\">\n");
        Grid(picture, axes);
        var taken = new List<PictureBox>();
        (double X, double Y, string Text)[] points = [.. roofline.Points.Select(p => (axes.X(p.Intensity), axes.Y(p.GigaMultiplyAdds), p.Label))];
        foreach (Roof roof in roofline.Roofs) Draw(picture, axes, roof, points, taken);
        PictureBox?[] labels = LabelPlacement.Place(points, taken, axes.Frame);
        for (int i = 0; i < points.Length; i++) Leader(picture, points[i].X, points[i].Y, labels[i]);
        for (int i = 0; i < points.Length; i++) Mark(picture, roofline.Points[i], points[i].X, points[i].Y, labels[i]);
        return picture.Append("</svg>\n").ToString();
    }

    /// <summary>What marks mean, and what the roofs are.</summary>
    internal static string Legend(Roofline roofline)
    {
        string threads = roofline.Roofs.Count > 1 ? " Squares and the dashed roof: 2 threads." : "";
        return $"<p class=\"legend\"><span><i class=\"native\"></i>native kernel</span> <span><i class=\"managed\"></i>managed kernel</span>{threads}</p>\n";
    }

    private static void Grid(StringBuilder picture, RooflineAxes axes)
    {
        PictureBox frame = axes.Frame;
        foreach (double x in axes.IntensityTicks)
        {
            picture.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{axes.X(x):0.0}\" y1=\"{frame.Top:0.0}\" x2=\"{axes.X(x):0.0}\" y2=\"{frame.Bottom:0.0}\" />");
            picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{axes.X(x):0.0}\" y=\"{frame.Bottom + 2 * TickGap:0.0}\" text-anchor=\"middle\">{x:0.###}</text>\n");
        }

        foreach (double y in axes.RateTicks)
        {
            picture.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{frame.Left:0.0}\" y1=\"{axes.Y(y):0.0}\" x2=\"{frame.Right:0.0}\" y2=\"{axes.Y(y):0.0}\" />");
            picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{frame.Left - TickGap:0.0}\" y=\"{axes.Y(y) + 4:0.0}\" text-anchor=\"end\">{y:0.###}</text>\n");
        }

        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{(frame.Left + frame.Right) / 2:0.0}\" y=\"{Height - TickGap:0.0}\" text-anchor=\"middle\">multiply-adds per byte of K and V</text>\n");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" transform=\"translate({RoofTextSize + 2:0} {(frame.Top + frame.Bottom) / 2:0.0}) rotate(-90)\" text-anchor=\"middle\">10⁹ multiply-adds per second</text>\n");
    }

    private static void Draw(StringBuilder picture, RooflineAxes axes, Roof roof, (double X, double Y, string Text)[] points, List<PictureBox> taken)
    {
        PictureBox frame = axes.Frame;
        double ridge = roof.PeakGigaMultiplyAdds / roof.ReadGbps, first = Math.Max(axes.LeastIntensity, axes.LeastRate / roof.ReadGbps);
        (double x0, double y0) = (axes.X(first), axes.Y(first * roof.ReadGbps));
        (double x1, double y1) = (axes.X(ridge), axes.Y(roof.PeakGigaMultiplyAdds));
        string threads = roof.Threads == 1 ? "1 thread" : string.Create(CultureInfo.InvariantCulture, $"{roof.Threads} threads");
        picture.Append(CultureInfo.InvariantCulture, $"<polyline class=\"roof{(roof.Threads == 1 ? "" : " dashed")}\" points=\"{x0:0.0},{y0:0.0} {x1:0.0},{y1:0.0} {frame.Right:0.0},{y1:0.0}\" />\n");

        string read = string.Create(CultureInfo.InvariantCulture, $"read, {threads}: {roof.ReadGbps:0.0} GB/s");
        double angle = Math.Atan2(y1 - y0, x1 - x0), length = LabelPlacement.WidthOf(read), slope = Math.Sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0));
        // Along the slope, a little above it; where no point lies, if there is such a place.
        double start = RoofTextSize;
        while (start + length <= slope && points.Any(p => Along(start).Any(b => b.Overlaps(LabelPlacement.PointBox(p.X, p.Y))))) start += RoofTextSize;
        if (start + length > slope) start = RoofTextSize;

        (double readX, double readY) = Beside(start);
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"roof-name\" transform=\"translate({readX:0.0} {readY:0.0}) rotate({angle * 180 / Math.PI:0.0})\">{read}</text>\n");
        taken.AddRange(Along(start));

        string peak = string.Create(CultureInfo.InvariantCulture, $"fma, {threads}: {roof.PeakGigaMultiplyAdds:0.0} · 10⁹/s");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"roof-name\" x=\"{frame.Right - 4:0.0}\" y=\"{y1 - 6:0.0}\" text-anchor=\"end\">{peak}</text>\n");
        taken.Add(new PictureBox(frame.Right - 4 - LabelPlacement.WidthOf(peak), y1 - 6 - RoofTextSize, LabelPlacement.WidthOf(peak), RoofTextSize * 1.5));

        (double X, double Y) Beside(double along) => (x0 + along * Math.Cos(angle) + 6 * Math.Sin(angle), y0 + along * Math.Sin(angle) - 6 * Math.Cos(angle));
        IEnumerable<PictureBox> Along(double from)
        {
            for (double along = from; along <= from + length; along += RoofTextSize / 2)
            {
                (double x, double y) = Beside(along);
                yield return new PictureBox(x - RoofTextSize / 2, y - RoofTextSize, RoofTextSize, RoofTextSize * 1.5);
            }
        }
    }

    // From the point to the nearer end of its label, where that does not stand right beside it.
    private static void Leader(StringBuilder picture, double x, double y, PictureBox? label)
    {
        if (label is not { } box) return;
        double end = box.Left > x ? box.Left - 1 : box.Right + 1, middle = box.Top + box.Height / 2;
        if (Math.Abs(end - x) < 2 * LabelPlacement.PointRadius && Math.Abs(middle - y) < LabelPlacement.LineHeight / 4) return;
        picture.Append(CultureInfo.InvariantCulture, $"<line class=\"leader\" x1=\"{x:0.0}\" y1=\"{y:0.0}\" x2=\"{end:0.0}\" y2=\"{middle:0.0}\" />\n");
    }

    private static void Mark(StringBuilder picture, RooflinePoint point, double x, double y, PictureBox? label)
    {
        const double Radius = LabelPlacement.PointRadius - 0.5;
        string title = string.Create(CultureInfo.InvariantCulture, $"<title>{WebUtility.HtmlEncode(point.Name)}: {point.GigaMultiplyAdds:0.0}e9 multiply-adds/s, {point.Intensity:0.0} per byte</title>");
        string style = point.IsNative ? "native" : "managed";
        if (point.Threads == 1) picture.Append(CultureInfo.InvariantCulture, $"<circle class=\"{style}\" cx=\"{x:0.0}\" cy=\"{y:0.0}\" r=\"{Radius:0.0}\">{title}</circle>");
        else picture.Append(CultureInfo.InvariantCulture, $"<rect class=\"{style}\" x=\"{x - Radius:0.0}\" y=\"{y - Radius:0.0}\" width=\"{2 * Radius:0.0}\" height=\"{2 * Radius:0.0}\">{title}</rect>");
        if (label is { } box) picture.Append(CultureInfo.InvariantCulture, $"<text class=\"point-name of-{style}\" x=\"{(box.Left > x ? box.Left : box.Right):0.0}\" y=\"{box.Top + box.Height - 3:0.0}\"{(box.Left > x ? "" : " text-anchor=\"end\"")}>{WebUtility.HtmlEncode(point.Label)}</text>");
        picture.Append('\n');
    }
}
