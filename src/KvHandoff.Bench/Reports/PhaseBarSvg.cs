using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// Horizontal bars of phase shares as inline SVG, one per handoff, drawn in the page's own colours. Queue is left out: it is the longest
/// wait of any frame, not work, and would cover the rest.
/// </summary>
internal static class PhaseBarSvg
{
    private const int Width = 1000, Height = 20;
    private const string Waiting = "queue";

    internal static string Render(IReadOnlyList<(string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)> rows)
    {
        var page = new StringBuilder();
        foreach ((string name, double seconds, IReadOnlyDictionary<string, double> phases) in rows)
        {
            double total = phases.Where(p => p.Key != Waiting).Sum(p => p.Value);
            page.Append(CultureInfo.InvariantCulture, $"<p class=\"bar\">{WebUtility.HtmlEncode(name)}: {seconds * 1e3:0.0} ms elapsed, {total * 1e3:0.0} ms in these phases</p>\n");
            page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Height}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Shares of the phases of {WebUtility.HtmlEncode(name)}\">\n");
            double x = 0;
            int colour = 0;
            foreach ((string phase, double value) in phases)
            {
                double width = total > 0 && phase != Waiting ? value / total * Width : 0;
                if (width > 0)
                    page.Append(CultureInfo.InvariantCulture, $"<rect class=\"p{colour}\" x=\"{x:0.00}\" y=\"0\" width=\"{width:0.00}\" height=\"{Height}\"><title>{phase}: {value * 1e3:0.000} ms</title></rect>\n");
                x += width;
                colour++;
            }

            page.Append("</svg>\n");
        }

        return page.ToString();
    }

    /// <summary>Which colour is which phase.</summary>
    internal static string Legend(IEnumerable<string> phases) =>
        "<p class=\"legend\">" + string.Join(" ", phases.Select((phase, i) => (phase, i)).Where(p => p.phase != Waiting)
            .Select(p => $"<span><i class=\"p{p.i}\"></i>{WebUtility.HtmlEncode(p.phase.Replace('_', ' '))}</span>")) + "</p>\n";
}
