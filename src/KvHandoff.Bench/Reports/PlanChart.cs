using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>One axis of a chart.</summary>
/// <param name="Name">With its unit.</param>
/// <param name="Least">At its beginning.</param>
/// <param name="Most">At its end.</param>
/// <param name="IsLogarithmic">Decades, or equal steps.</param>
/// <param name="Text">Of a tick.</param>
internal sealed record ChartAxis(string Name, double Least, double Most, bool IsLogarithmic, Func<double, string> Text)
{
    private const int TicksWanted = 6;

    internal double At(double value) => IsLogarithmic ? Math.Log(value / Least) / Math.Log(Most / Least) : (value - Least) / (Most - Least);

    internal bool Holds(double value) => value >= Least * (1 - 1e-9) && value <= Most * (1 + 1e-9);

    internal IEnumerable<double> Ticks() => IsLogarithmic ? Decades() : Steps();

    private IEnumerable<double> Decades()
    {
        double decades = Math.Log10(Most / Least);
        double[] within = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
        for (double tick = Math.Pow(10, Math.Floor(Math.Log10(Least))); tick <= Most; tick *= 10)
        {
            foreach (double factor in within)
            {
                if (Holds(tick * factor)) yield return tick * factor;
            }
        }
    }

    private IEnumerable<double> Steps()
    {
        double rough = (Most - Least) / TicksWanted, power = Math.Pow(10, Math.Floor(Math.Log10(rough))), step = new[] { 1, 2, 5, 10 }.First(s => s * power >= rough) * power;
        for (double i = Math.Ceiling(Least / step); i * step <= Most * (1 + 1e-9); i++) yield return i * step;
    }
}

/// <summary>A line of a chart; its points in the axes' units.</summary>
internal sealed record ChartLine(string Name, int Colour, IReadOnlyList<(double X, double Y)> Points, bool IsDashed = false);

/// <summary>A point with its name beside it, if it has one; hollow ones are of another kind, which the text around the chart names.</summary>
internal sealed record ChartMark(double X, double Y, string Text, int Colour, bool IsHollow = false);

/// <summary>Lines over two axes as inline SVG in the page's own colours; the legend stands below.</summary>
internal static class PlanChart
{
    /// <summary>Of the page's colours those that are furthest apart.</summary>
    internal static readonly int[] Colours = [4, 5, 6, 3, 7, 1];

    private const int Width = 1000, Height = 400;
    private const double Left = 84, Top = 14, Right = 984, Bottom = 344, TickGap = 8, Radius = 4.5;

    /// <param name="about">For readers who cannot see it.</param>
    /// <param name="x">Axis.</param>
    /// <param name="y">Axis.</param>
    /// <param name="lines">Any number.</param>
    /// <param name="marks">Any number.</param>
    /// <param name="verticals">Values of x with a name each.</param>
    internal static string Render(string about, ChartAxis x, ChartAxis y, IReadOnlyList<ChartLine> lines, IReadOnlyList<ChartMark>? marks = null, IReadOnlyList<(double X, string Text)>? verticals = null)
    {
        var frame = new PictureBox(Left, Top, Right - Left, Bottom - Top);
        var picture = new StringBuilder();
        picture.Append(CultureInfo.InvariantCulture, $"<svg class=\"roofline\" viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{WebUtility.HtmlEncode(about)}\">\n");
        Grid(picture, x, y);
        var taken = new List<PictureBox>();
        double row = Top + 12;
        foreach ((double at, string text) in (verticals ?? []).Where(v => x.Holds(v.X)).OrderBy(v => v.X))
        {
            double px = X(x, at), width = LabelPlacement.WidthOf(text);
            bool isLeft = px + width + 6 > Right;
            picture.Append(CultureInfo.InvariantCulture, $"<line class=\"roof dashed\" x1=\"{px:0.0}\" y1=\"{Top}\" x2=\"{px:0.0}\" y2=\"{Bottom}\" /><text class=\"roof-name\" x=\"{(isLeft ? px - 5 : px + 5):0.0}\" y=\"{row:0.0}\"{(isLeft ? " text-anchor=\"end\"" : "")}>{WebUtility.HtmlEncode(text)}</text>\n");
            taken.Add(new PictureBox(isLeft ? px - 5 - width : px + 5, row - 11, width, 14));
            row += 16;
        }

        foreach (ChartLine line in lines)
        {
            Draw(picture, x, y, line);
            // Names keep off the lines.
            taken.AddRange(line.Points.Where(p => x.Holds(p.X) && y.Holds(p.Y)).Select(p => new PictureBox(X(x, p.X) - 2, Y(y, p.Y) - 2, 4, 4)));
        }

        ChartMark[] shown = [.. (marks ?? []).Where(m => x.Holds(m.X) && y.Holds(m.Y))];
        (double X, double Y, string Text)[] points = [.. shown.Select(m => (X(x, m.X), Y(y, m.Y), m.Text))];
        PictureBox?[] labels = LabelPlacement.Place(points, taken, frame);
        for (int i = 0; i < shown.Length; i++)
        {
            (double px, double py, string text) = points[i];
            string look = shown[i].IsHollow ? $"class=\"f{shown[i].Colour}\" style=\"fill: var(--page); stroke-width: 2\"" : $"class=\"p{shown[i].Colour}\"";
            picture.Append(CultureInfo.InvariantCulture, $"<circle {look} cx=\"{px:0.0}\" cy=\"{py:0.0}\" r=\"{Radius}\"><title>{WebUtility.HtmlEncode(text)}</title></circle>\n");
            if (text.Length == 0 || labels[i] is not { } box) continue;
            bool isRight = box.Left > px;
            double end = isRight ? box.Left - 1 : box.Right + 1, middle = box.Top + box.Height / 2;
            if (Math.Abs(end - px) > 2 * Radius + 2 || Math.Abs(middle - py) > 6) picture.Append(CultureInfo.InvariantCulture, $"<line class=\"leader\" x1=\"{px:0.0}\" y1=\"{py:0.0}\" x2=\"{end:0.0}\" y2=\"{middle:0.0}\" />");
            picture.Append(CultureInfo.InvariantCulture, $"<text class=\"point-name\" x=\"{(isRight ? box.Left : box.Right):0.0}\" y=\"{box.Bottom - 3:0.0}\"{(isRight ? "" : " text-anchor=\"end\"")}>{WebUtility.HtmlEncode(text)}</text>\n");
        }

        return HtmlPage.Scrolling(picture.Append("</svg>\n").ToString(), about + ", picture") + Legend(lines);
    }

    /// <summary>Which colour is which line.</summary>
    internal static string Legend(IReadOnlyList<ChartLine> lines) => lines.Count < 2 ? "" :
        "<p class=\"legend\">" + string.Join(" ", lines.Select(l => $"<span><i class=\"p{l.Colour}\"></i>{WebUtility.HtmlEncode(l.Name)}{(l.IsDashed ? " (dashed)" : "")}</span>")) + "</p>\n";

    // Ticks are round: their decimals say nothing.
    private static string Round(string text) => text.Replace(".00 ", " ", StringComparison.Ordinal).Replace(".0 ", " ", StringComparison.Ordinal);

    private static double X(ChartAxis axis, double value) => Left + (Right - Left) * axis.At(value);

    private static double Y(ChartAxis axis, double value) => Bottom - (Bottom - Top) * axis.At(value);

    private static void Grid(StringBuilder picture, ChartAxis x, ChartAxis y)
    {
        foreach (double tick in x.Ticks())
        {
            // What would leave the picture on the right ends there.
            bool isLast = X(x, tick) > Right - 20;
            picture.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{X(x, tick):0.0}\" y1=\"{Top}\" x2=\"{X(x, tick):0.0}\" y2=\"{Bottom}\" /><text class=\"tick\" x=\"{(isLast ? Width - 2 : X(x, tick)):0.0}\" y=\"{Bottom + 2 * TickGap}\" text-anchor=\"{(isLast ? "end" : "middle")}\">{Round(x.Text(tick))}</text>\n");
        }

        foreach (double tick in y.Ticks())
            picture.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{Left}\" y1=\"{Y(y, tick):0.0}\" x2=\"{Right}\" y2=\"{Y(y, tick):0.0}\" /><text class=\"tick\" x=\"{Left - TickGap}\" y=\"{Y(y, tick) + 4:0.0}\" text-anchor=\"end\">{Round(y.Text(tick))}</text>\n");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{(Left + Right) / 2:0.0}\" y=\"{Bottom + 5 * TickGap}\" text-anchor=\"middle\">{WebUtility.HtmlEncode(x.Name)}</text>\n");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" transform=\"translate(14 {(Top + Bottom) / 2:0.0}) rotate(-90)\" text-anchor=\"middle\">{WebUtility.HtmlEncode(y.Name)}</text>\n");
    }

    // Cut where the line leaves the frame; a gap begins a new stroke.
    private static void Draw(StringBuilder picture, ChartAxis x, ChartAxis y, ChartLine line)
    {
        string dashed = line.IsDashed ? " dashed" : "";
        var run = new List<string>();
        foreach ((double px, double py) in line.Points)
        {
            if (x.Holds(px) && y.Holds(py))
            {
                run.Add(string.Create(CultureInfo.InvariantCulture, $"{X(x, px):0.0},{Y(y, py):0.0}"));
                continue;
            }

            Flush();
        }

        Flush();

        void Flush()
        {
            if (run.Count > 1) picture.Append(CultureInfo.InvariantCulture, $"<polyline class=\"fit f{line.Colour}{dashed}\" points=\"{string.Join(' ', run)}\"><title>{WebUtility.HtmlEncode(line.Name)}</title></polyline>\n");
            run.Clear();
        }
    }
}
