using System.Globalization;
using System.Text;
using KvHandoff.Bench.Charts;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// One prompt's time as inline SVG: prefill, the handoff from the offer to the verdict with what lies after prefill hatched, and the first decode step; below,
/// the work of its phases. Names stand beside it in HTML, so that they keep their size at any width.
/// </summary>
internal static class PromptWaterfall
{
    private const int Width = 1000, RowHeight = 20, BarHeight = 16, Rows = 4;

    internal const string Legend = "<p class=\"legend\"><span><i class=\"p4\"></i>prefill</span> <span><i class=\"p5\"></i>handoff, hidden behind prefill</span> <span><i class=\"exposed\"></i>handoff, exposed</span> <span><i class=\"p3\"></i>first decode step</span> <span><i class=\"p0\"></i>work of the phases, to its own scale</span></p>\n";

    internal static string Render(IReadOnlyList<PromptRow> prompts)
    {
        var page = new StringBuilder();
        for (int i = 0; i < prompts.Count; i++) One(page, prompts[i], i);
        return page.ToString();
    }

    private static void One(StringBuilder page, PromptRow p, int index)
    {
        // The verdict ends TTFT; the offer lies a whole handoff before it.
        double verdict = Math.Max(p.TtftMs, 1e-9), exposed = Math.Clamp(p.Handoff.ExposedSeconds * 1e3, 0, verdict), ready = verdict - exposed, offer = Math.Clamp(verdict - p.Handoff.Seconds * 1e3, 0, ready), begin = Math.Clamp(ready - p.PrefillMs, 0, ready), end = verdict + Math.Max(0, p.FirstDecodeMs);
        string name = HtmlPage.Text(p.Name);
        page.Append(CultureInfo.InvariantCulture, $"<p class=\"bar\">{name}: prefill {p.PrefillMs:0.0} ms, handoff {p.Handoff.Seconds * 1e3:0.0} ms of which {p.Handoff.ExposedSeconds * 1e3:0.00} ms exposed, first decode step {p.FirstDecodeMs:0.00} ms</p>\n");
        page.Append("<div class=\"steps\"><div aria-hidden=\"true\"><span>prefill</span><span>handoff</span><span>first step</span><span>phases</span></div>\n");
        page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Rows * RowHeight}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Handoff of {name}: {ChartNumber.Short(exposed)} of {ChartNumber.Short(verdict)} milliseconds to the first token are exposed handoff\">\n");
        page.Append(CultureInfo.InvariantCulture, $"<defs><pattern id=\"exposed-{index}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" /></pattern></defs>\n");
        Bar(page, 0, begin / end, ready / end, "p4", $"prefill: {p.PrefillMs:0.0} ms");
        Bar(page, 1, offer / end, ready / end, "p5", "handoff, hidden behind prefill");
        Bar(page, 1, ready / end, verdict / end, "p6", string.Create(CultureInfo.InvariantCulture, $"handoff, exposed: {exposed:0.00} ms"));
        Bar(page, 1, ready / end, verdict / end, null, "", $"url(#exposed-{index})");
        Bar(page, 2, verdict / end, 1, "p3", string.Create(CultureInfo.InvariantCulture, $"first decode step: {p.FirstDecodeMs:0.00} ms"));
        double work = p.Handoff.Phases.Where(f => f.Key != "queue").Sum(f => f.Value), at = 0;
        int colour = 0;
        foreach ((string phase, double seconds) in p.Handoff.Phases)
        {
            double share = work > 0 && phase != "queue" ? Math.Max(0, seconds) / work : 0;
            Bar(page, 3, at, at + share, $"p{colour++}", string.Create(CultureInfo.InvariantCulture, $"{phase}: {seconds * 1e3:0.000} ms"));
            at += share;
        }

        page.Append("</svg></div>\n");
    }

    private static void Bar(StringBuilder page, int row, double from, double to, string? look, string title, string? fill = null)
    {
        if (!(to > from)) return;
        page.Append(CultureInfo.InvariantCulture, $"<rect {(look is null ? $"fill=\"{fill}\"" : $"class=\"{look}\"")} x=\"{from * Width:0.00}\" y=\"{row * RowHeight + (RowHeight - BarHeight) / 2}\" width=\"{(to - from) * Width:0.00}\" height=\"{BarHeight}\">{(title.Length > 0 ? $"<title>{HtmlPage.Text(title)}</title>" : "")}</rect>\n");
    }
}
