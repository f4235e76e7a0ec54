using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>The page: one file that needs nothing from anywhere, light or dark as the reader's system is. It is well-formed XML too.</summary>
internal static class HtmlReport
{
    private const string Style = """
        :root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --page: #ffffff; --stripe: #f6f8fa; --good: #1a7f37; --bad: #cf222e; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --stripe: #151b23; --good: #3fb950; --bad: #f85149; } }
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
        svg { width: 100%; height: 1.2rem; display: block; } .bar { font-size: 0.88rem; margin: 0.6rem 0 0.15rem; }
        .chart { margin-top: 0.75rem; } .legend { font-size: 0.88rem; } .legend span { margin-right: 0.9rem; white-space: nowrap; }
        .legend i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.35em; }
        .p0 { fill: #8c959f; background: #8c959f; } .p1 { fill: #bf8700; background: #bf8700; } .p2 { fill: #1b7c83; background: #1b7c83; }
        .p3 { fill: #8250df; background: #8250df; } .p4 { fill: #0969da; background: #0969da; } .p5 { fill: #2da44e; background: #2da44e; }
        .p6 { fill: #bc4c00; background: #bc4c00; } .p7 { fill: #bf3989; background: #bf3989; } .p8 { fill: #d4a72c; background: #d4a72c; }
        """;

    internal static string Render(Summary summary)
    {
        var page = new StringBuilder();
        page.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n");
        page.Append("<title>KvHandoff: what a handoff costs on this machine</title>\n<style>\n").Append(Style).Append("\n</style>\n</head>\n<body>\n<h1>What a KV-cache handoff costs on this machine</h1>\n");
        EnvironmentSection e = summary.Environment;
        page.Append(CultureInfo.InvariantCulture, $"<p class=\"env\">{Text(e.Cpu)}, {e.Cores} cores, {e.MemoryBytes / 1e9:0} GB, {Text(e.Isa)} ({e.VectorBits} bits); {Text(e.Os)}; {Text(e.Dotnet)}; KvHandoff {Text(e.Version)}; {Text(e.Time)}; {summary.ElapsedSeconds:0} s.</p>\n");
        Verdict(page, summary);
        Facts(page, summary);
        foreach (ReportTable table in ReportTables.All(summary))
        {
            Table(page, table);
            if (table.Id == "phases") Chart(page, summary);
        }

        return page.Append("</body>\n</html>\n").ToString();
    }

    private static void Verdict(StringBuilder page, Summary summary)
    {
        if (summary.Failures.Count == 0) page.Append("<p class=\"good\">All that was measured holds.</p>\n");
        foreach (string failure in summary.Failures) page.Append(CultureInfo.InvariantCulture, $"<p class=\"bad\">{Text(failure)}</p>\n");
    }

    private static void Facts(StringBuilder page, Summary summary)
    {
        var facts = new List<(string Figure, string Meaning)>();
        if (summary.Reference is { } reference)
        {
            if (reference.TokensEqual is { } equal) facts.Add((equal ? "equal" : "DIFFER", $"tokens of {reference.Prompts.Count} prompts against the single-process run"));
            facts.Add((Number(reference.DecodePrefilledTokens), "prompt tokens computed by the decode process"));
        }

        foreach (TransferRow t in summary.Transfers)
            facts.Add((string.Create(CultureInfo.InvariantCulture, $"{t.OfTcpLoopback:0.00}x"), string.Create(CultureInfo.InvariantCulture, $"bare TCP loopback: {t.KvBytes / 1e6:0} MB of {t.Model}, {t.Codec}, in {t.Seconds * 1e3:0} ms, {(t.Verified ? "every byte compared" : "BYTES DIFFER")}")));
        page.Append("<ul class=\"facts\">\n");
        foreach ((string figure, string meaning) in facts) page.Append(CultureInfo.InvariantCulture, $"<li><b>{Text(figure)}</b>{Text(meaning)}</li>\n");
        page.Append("</ul>\n");
    }

    private static void Table(StringBuilder page, ReportTable table)
    {
        page.Append(CultureInfo.InvariantCulture, $"<h2 id=\"{table.Id}\">{Text(table.Title)}</h2>\n<p class=\"note\">{Text(table.Note)}</p>\n<div class=\"wide\"><table>\n<thead><tr>");
        foreach (ReportColumn column in table.Columns) page.Append(CultureInfo.InvariantCulture, $"<th{Class(column)}>{Text(column.Name)}</th>");
        page.Append("</tr></thead>\n<tbody>\n");
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            page.Append("<tr>");
            for (int c = 0; c < row.Count; c++) page.Append(CultureInfo.InvariantCulture, $"<td{Class(table.Columns[c])}>{Text(row[c])}</td>");
            page.Append("</tr>\n");
        }

        page.Append("</tbody>\n</table></div>\n");
    }

    private static void Chart(StringBuilder page, Summary summary)
    {
        (string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)[] rows = [.. ReportTables.PhaseSources(summary)];
        page.Append("<div class=\"chart\">\n").Append(PhaseBarSvg.Render(rows)).Append("</div>\n").Append(PhaseBarSvg.Legend(rows[0].Phases.Keys));
    }

    private static string Class(ReportColumn column) => column.IsNumber ? " class=\"n\"" : "";

    private static string Number(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
