using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>A page in the making: one file that needs nothing from anywhere, light or dark as the reader's system is. It is well-formed XML too.</summary>
internal sealed class HtmlPage
{
    private const string Style = """
        :root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --page: #ffffff; --stripe: #f6f8fa; --good: #1a7f37; --bad: #cf222e; --native: #0969da; --managed: #bc4c00; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --stripe: #151b23; --good: #3fb950; --bad: #f85149; --native: #58a6ff; --managed: #f0883e; } }
        body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 80rem; margin: 0 auto; padding: 1rem; }
        h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 0.25rem; }
        p { margin: 0.25rem 0 0.75rem; } .note, .env { color: var(--soft); font-size: 0.9rem; overflow-wrap: anywhere; }
        .good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
        .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 0.75rem; margin: 1rem 0; padding: 0; list-style: none; }
        .facts li { border: 1px solid var(--line); border-radius: 6px; padding: 0.5rem 0.75rem; } .facts b { display: block; font-size: 1.3rem; }
        .wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.88rem; }
        th, td { padding: 0.3rem 0.55rem; text-align: left; white-space: nowrap; } th { border-bottom: 1px solid var(--line); color: var(--soft); font-weight: 600; }
        .n { text-align: right; } tbody tr:nth-child(even) { background: var(--stripe); }
        .chart svg { width: 100%; height: 1.2rem; display: block; } .bar { font-size: 0.88rem; margin: 0.6rem 0 0.15rem; }
        .chart { margin-top: 0.75rem; } .legend { font-size: 0.88rem; } .legend span { margin-right: 0.9rem; white-space: nowrap; }
        .legend i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.35em; }
        .p0 { fill: #8c959f; background: #8c959f; } .p1 { fill: #bf8700; background: #bf8700; } .p2 { fill: #1b7c83; background: #1b7c83; }
        .p3 { fill: #8250df; background: #8250df; } .p4 { fill: #0969da; background: #0969da; } .p5 { fill: #2da44e; background: #2da44e; }
        .p6 { fill: #bc4c00; background: #bc4c00; } .p7 { fill: #bf3989; background: #bf3989; } .p8 { fill: #d4a72c; background: #d4a72c; }
        .roofline { width: 100%; height: auto; display: block; margin-top: 0.75rem; font-size: 12px; } .roofline text { fill: var(--soft); }
        .roofline .grid { stroke: var(--line); stroke-width: 0.5; } .roofline .leader { stroke: var(--soft); stroke-width: 0.9; }
        .roofline .roof { fill: none; stroke: var(--ink); stroke-width: 1.5; } .roofline .dashed { stroke-dasharray: 6 4; }
        .roofline .point-name, .roofline .roof-name { fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; } .roofline .point-name { font-size: 11.5px; } .roofline .of-native { fill: var(--native); } .roofline .of-managed { fill: var(--managed); }
        .roofline .fit { fill: none; stroke-width: 1.5; } .f1 { stroke: #bf8700; } .f3 { stroke: #8250df; } .f4 { stroke: #0969da; } .f5 { stroke: #2da44e; } .f6 { stroke: #bc4c00; } .f7 { stroke: #bf3989; }
        .native { fill: var(--native); background: var(--native); } .managed { fill: var(--page); stroke: var(--managed); stroke-width: 2; } i.managed { box-shadow: inset 0 0 0 2px var(--managed); }
        """;

    private readonly StringBuilder _text = new();

    /// <param name="title">Of the browser's window.</param>
    /// <param name="heading">Of the page.</param>
    /// <param name="environment">Where it was measured.</param>
    /// <param name="elapsedSeconds">What the job took.</param>
    internal HtmlPage(string title, string heading, EnvironmentSection environment, double elapsedSeconds)
    {
        EnvironmentSection e = environment;
        _text.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n");
        _text.Append(CultureInfo.InvariantCulture, $"<title>{Text(title)}</title>\n<style>\n{Style}\n</style>\n</head>\n<body>\n<h1>{Text(heading)}</h1>\n");
        _text.Append(CultureInfo.InvariantCulture, $"<p class=\"env\">{Text(e.Cpu)}, {e.Cores} cores, {e.MemoryBytes / 1e9:0} GB, {Text(e.Isa)} ({e.VectorBits} bits); {Text(e.Os)}; {Text(e.Dotnet)}; KvHandoff {Text(e.Version)}; {Text(e.Time)}; {elapsedSeconds:0} s.</p>\n");
    }

    /// <summary>Whether all is well, or what is not.</summary>
    internal void Verdict(IReadOnlyList<string> failures)
    {
        if (failures.Count == 0) Add("<p class=\"good\">All that was measured holds.</p>\n");
        foreach (string failure in failures) Add($"<p class=\"bad\">{Text(failure)}</p>\n");
    }

    /// <summary>Adds text that is HTML already.</summary>
    internal void Add(string html) => _text.Append(html);

    internal void Add(ReportTable table)
    {
        Add($"<h2 id=\"{table.Id}\">{Text(table.Title)}</h2>\n<p class=\"note\">{Text(table.Note)}</p>\n<div class=\"wide\"><table>\n<thead><tr>");
        foreach (ReportColumn column in table.Columns) Add($"<th{Class(column)}>{Text(column.Name)}</th>");
        Add("</tr></thead>\n<tbody>\n");
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            Add("<tr>");
            for (int c = 0; c < row.Count; c++) Add($"<td{Class(table.Columns[c])}>{Text(row[c])}</td>");
            Add("</tr>\n");
        }

        Add("</tbody>\n</table></div>\n");
    }

    /// <summary>The whole page.</summary>
    internal string Close() => _text.Append("</body>\n</html>\n").ToString();

    /// <summary>Any text as HTML.</summary>
    internal static string Text(string text) => WebUtility.HtmlEncode(text);

    private static string Class(ReportColumn column) => column.IsNumber ? " class=\"n\"" : "";
}
