using System.Globalization;
using System.Net;
using System.Text;
using KvHandoff.Bench.Latency;

namespace KvHandoff.Bench.Reports;

/// <summary>A sweep as inline SVG in the page's own colours: time over bytes, both axes logarithmic; marks are medians, lines the fits.</summary>
internal static class SweepSvg
{
    private const int Width = 1000, Height = 480, LineSteps = 64;
    private const double Left = 70, Top = 16, Right = 984, Bottom = 432, TickGap = 8, Radius = 4.5, Room = 1.4, TextSize = 12;

    // Of the phases' colours those that are furthest apart.
    private static readonly int[] Colours = [4, 5, 6, 3, 7, 1];

    internal static string Render(IReadOnlyList<SweepRow> rows, IReadOnlyList<FitRow> fits)
    {
        double leastX = rows.Min(r => r.Bytes) / Room, mostX = rows.Max(r => r.Bytes) * Room, leastY = rows.Min(r => r.P50Us) / Room, mostY = rows.Max(r => r.P50Us) * Room;
        double X(double bytes) => Left + (Right - Left) * Math.Log(bytes / leastX) / Math.Log(mostX / leastX);
        double Y(double us) => Bottom - (Bottom - Top) * Math.Log(us / leastY) / Math.Log(mostY / leastY);
        var picture = new StringBuilder();
        picture.Append(CultureInfo.InvariantCulture, $"<svg class=\"roofline\" viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"Median time of a handoff over its bytes, per transport\">\n");
        foreach (double bytes in Ticks(leastX, mostX, 2, 1 << 10))
            Line(picture, X(bytes), Top, X(bytes), Bottom, "middle", X(bytes), Bottom + 2 * TickGap, bytes >= 1 << 20 ? FormattableString.Invariant($"{bytes / (1 << 20):0} MiB") : FormattableString.Invariant($"{bytes / (1 << 10):0} KiB"));
        foreach (double us in Ticks(leastY, mostY, 10, 1).SelectMany(t => new[] { t, 2 * t, 5 * t }).Where(t => t >= leastY && t <= mostY))
            Line(picture, Left, Y(us), Right, Y(us), "end", Left - TickGap, Y(us) + 4, us >= 1000 ? FormattableString.Invariant($"{us / 1000:0.#} ms") : FormattableString.Invariant($"{us:0.#} µs"));
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{(Left + Right) / 2:0.0}\" y=\"{Height - TickGap:0.0}\" text-anchor=\"middle\">bytes of K and V</text>\n");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" transform=\"translate({TextSize + 2:0} {(Top + Bottom) / 2:0.0}) rotate(-90)\" text-anchor=\"middle\">offer to verdict, median</text>\n");
        for (int i = 0; i < fits.Count; i++) Draw(picture, rows, fits[i], Colours[i % Colours.Length], leastX, mostX, leastY, X, Y);
        return picture.Append("</svg>\n").ToString();
    }

    /// <summary>Which colour is which transport.</summary>
    internal static string Legend(IReadOnlyList<FitRow> fits) =>
        "<p class=\"legend\">" + string.Join(" ", fits.Select((f, i) => string.Create(CultureInfo.InvariantCulture,
            $"<span><i class=\"p{Colours[i % Colours.Length]}\"></i>{WebUtility.HtmlEncode(f.Transport)}: {f.LatencyUs:0} µs + bytes / {f.Gbps:0.00} GB/s</span>"))) + "</p>\n";

    private static void Draw(StringBuilder picture, IReadOnlyList<SweepRow> rows, FitRow fit, int colour, double leastX, double mostX, double leastY, Func<double, double> x, Func<double, double> y)
    {
        IEnumerable<double> along = Enumerable.Range(0, LineSteps + 1).Select(i => leastX * Math.Pow(mostX / leastX, (double)i / LineSteps));
        string points = string.Join(" ", along.Select(b => (b, Us: LatencyFit.At(fit, b))).Where(p => p.Us > leastY)
            .Select(p => string.Create(CultureInfo.InvariantCulture, $"{x(p.b):0.0},{Math.Max(Top, y(p.Us)):0.0}")));
        picture.Append(CultureInfo.InvariantCulture, $"<polyline class=\"fit f{colour}\" points=\"{points}\" />\n");
        foreach (SweepRow row in rows.Where(r => r.Transport == fit.Transport))
            picture.Append(CultureInfo.InvariantCulture, $"<circle class=\"p{colour}\" cx=\"{x(row.Bytes):0.0}\" cy=\"{y(row.P50Us):0.0}\" r=\"{Radius}\"><title>{WebUtility.HtmlEncode(row.Transport)}, {row.Bytes} bytes: {row.P50Us:0.0} us, {row.Gbps:0.00} GB/s</title></circle>\n");
    }

    private static void Line(StringBuilder picture, double x1, double y1, double x2, double y2, string anchor, double textX, double textY, string text)
    {
        picture.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{x1:0.0}\" y1=\"{y1:0.0}\" x2=\"{x2:0.0}\" y2=\"{y2:0.0}\" />");
        picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{textX:0.0}\" y=\"{textY:0.0}\" text-anchor=\"{anchor}\">{text}</text>\n");
    }

    private static IEnumerable<double> Ticks(double least, double most, double factor, double first)
    {
        double tick = first;
        while (tick * factor <= least) tick *= factor;
        for (; tick <= most; tick *= factor) if (tick >= least || factor > 2) yield return tick;
    }
}
