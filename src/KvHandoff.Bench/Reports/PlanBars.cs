using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>One bar: its name, its parts in the order of the legend, and what stands behind it.</summary>
internal sealed record ChartBar(string Name, IReadOnlyList<double> Parts, string Text);

/// <summary>Horizontal bars of equal scale as inline SVG in the page's own colours.</summary>
internal static class PlanBars
{
    private const int Width = 1000;
    private const double RowHeight = 26, BarHeight = 16, Left = 236, Right = 800, LeastWidth = 1.5;

    internal static string Render(string about, IReadOnlyList<(string Name, int Colour)> parts, IReadOnlyList<ChartBar> bars)
    {
        double most = bars.Max(b => b.Parts.Sum()), height = bars.Count * RowHeight + 8;
        var picture = new StringBuilder();
        picture.Append(CultureInfo.InvariantCulture, $"<svg class=\"roofline\" viewBox=\"0 0 {Width} {height:0}\" role=\"img\" aria-label=\"{WebUtility.HtmlEncode(about)}\">\n");
        double y = 6;
        foreach (ChartBar bar in bars)
        {
            picture.Append(CultureInfo.InvariantCulture, $"<text class=\"tick\" x=\"{Left - 8}\" y=\"{y + 12:0.0}\" text-anchor=\"end\">{WebUtility.HtmlEncode(bar.Name)}</text>");
            double x = Left;
            for (int i = 0; i < bar.Parts.Count; i++)
            {
                double width = most > 0 ? bar.Parts[i] / most * (Right - Left) : 0;
                if (bar.Parts[i] > 0) picture.Append(CultureInfo.InvariantCulture, $"<rect class=\"p{parts[i].Colour}\" x=\"{x:0.0}\" y=\"{y:0.0}\" width=\"{Math.Max(width, LeastWidth):0.0}\" height=\"{BarHeight}\"><title>{WebUtility.HtmlEncode(parts[i].Name)}</title></rect>");
                x += width;
            }

            picture.Append(CultureInfo.InvariantCulture, $"<text class=\"point-name\" x=\"{x + 8:0.0}\" y=\"{y + 12:0.0}\">{WebUtility.HtmlEncode(bar.Text)}</text>\n");
            y += RowHeight;
        }

        string legend = parts.Count < 2 ? "" : "<p class=\"legend\">" + string.Join(" ", parts.Select(p => $"<span><i class=\"p{p.Colour}\"></i>{WebUtility.HtmlEncode(p.Name)}</span>")) + "</p>\n";
        return HtmlPage.Scrolling(picture.Append("</svg>\n").ToString(), about + ", picture") + legend;
    }
}
