using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>Horizontal bars of phase shares as inline SVG, one bar per handoff, drawn in the page's own colours.</summary>
internal static class PhaseBarSvg
{
    private const int Width = 1000, BarHeight = 22, LabelHeight = 18, RowHeight = BarHeight + LabelHeight + 10;

    internal static string Render(IReadOnlyList<(string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)> rows)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {rows.Count * RowHeight}\" role=\"img\" aria-label=\"Shares of the phases\">\n");
        for (int r = 0; r < rows.Count; r++)
        {
            (string name, double seconds, IReadOnlyDictionary<string, double> phases) = rows[r];
            double total = phases.Values.Sum();
            int top = r * RowHeight;
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"0\" y=\"{top + 13}\">{WebUtility.HtmlEncode(name)}: {seconds * 1e3:0.0} ms elapsed, {total * 1e3:0.0} ms in phases</text>\n");
            double x = 0;
            int colour = 0;
            foreach ((string phase, double value) in phases)
            {
                double width = total > 0 ? value / total * Width : 0;
                if (width > 0)
                    svg.Append(CultureInfo.InvariantCulture, $"<rect class=\"p{colour}\" x=\"{x:0.00}\" y=\"{top + LabelHeight}\" width=\"{width:0.00}\" height=\"{BarHeight}\"><title>{phase}: {value * 1e3:0.000} ms</title></rect>\n");
                x += width;
                colour++;
            }
        }

        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>Which colour is which phase.</summary>
    internal static string Legend(IEnumerable<string> phases) =>
        "<p class=\"legend\">" + string.Join(" ", phases.Select((phase, i) => $"<span><i class=\"p{i}\"></i>{WebUtility.HtmlEncode(phase.Replace('_', ' '))}</span>")) + "</p>\n";
}
