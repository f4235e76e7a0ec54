using System.Globalization;
using System.Text;
using KvHandoff.Bench.Charts;

namespace KvHandoff.Bench.Reports;

/// <summary>A page in the making: one file that needs nothing from anywhere, no script either. It is well-formed XML too.</summary>
internal sealed class HtmlPage
{
    private readonly StringBuilder _text = new();

    /// <param name="title">Of the browser's window.</param>
    /// <param name="heading">Of the page.</param>
    /// <param name="environment">Where it was measured.</param>
    /// <param name="elapsedSeconds">What the job took.</param>
    /// <param name="contents">Ids and titles of the sections, for pages long enough to need a list of them.</param>
    internal HtmlPage(string title, string heading, EnvironmentSection environment, double elapsedSeconds, IReadOnlyList<(string Id, string Title)>? contents = null)
    {
        EnvironmentSection e = environment;
        _text.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n");
        _text.Append(CultureInfo.InvariantCulture, $"<title>{Text(title)}</title>\n<style>\n{PageStyle.Text}\n</style>\n</head>\n<body>\n");
        if (contents is not null) _text.Append("<a class=\"skip\" href=\"#main\">To the results</a>\n");
        _text.Append("<header>\n<fieldset class=\"theme\"><legend>Colours</legend><label><input type=\"radio\" name=\"theme\" id=\"theme-auto\" checked=\"checked\" /> as the system</label><label><input type=\"radio\" name=\"theme\" id=\"theme-light\" /> light</label><label><input type=\"radio\" name=\"theme\" id=\"theme-dark\" /> dark</label></fieldset>\n");
        _text.Append(CultureInfo.InvariantCulture, $"<h1>{Text(heading)}</h1>\n");
        _text.Append(CultureInfo.InvariantCulture, $"<p class=\"env\">{Text(e.Cpu)}, {e.Cores} cores, {e.MemoryBytes / 1e9:0} GB, {Text(e.Isa)} ({e.VectorBits} bits); {Text(e.Os)}; {Text(e.Dotnet)}; KvHandoff {Text(e.Version)}; {Text(e.Time)}; {elapsedSeconds:0} s.</p>\n</header>\n");
        if (contents is not null) _text.Append("<nav class=\"contents\" aria-label=\"Sections\"><ul>").AppendJoin("", contents.Select(c => $"<li><a href=\"#{c.Id}\">{Text(c.Title)}</a></li>")).Append("</ul></nav>\n");
        _text.Append("<main id=\"main\">\n");
    }

    /// <summary>Whether all is well, or what is not.</summary>
    internal void Verdict(IReadOnlyList<string> failures)
    {
        if (failures.Count == 0) Add("<p class=\"good\">All that was measured holds.</p>\n");
        foreach (string failure in failures) Add($"<p class=\"bad\">{Text(failure)}</p>\n");
    }

    /// <summary>Adds text that is HTML already.</summary>
    internal void Add(string html) => _text.Append(html);

    /// <summary>Begins a section.</summary>
    internal void Section(string id, string title, string note = "") => Add($"<h2 id=\"{id}\">{Text(title)}</h2>\n{(note.Length > 0 ? $"<p class=\"note\">{Text(note)}</p>\n" : "")}");

    /// <summary>Figures and what they mean, in boxes.</summary>
    internal void Facts(IReadOnlyList<(string Figure, string Meaning)> facts)
    {
        if (facts.Count == 0) return;
        Add("<ul class=\"facts\">\n");
        foreach ((string figure, string meaning) in facts) Add($"<li><b>{Text(figure)}</b>{Text(meaning)}</li>\n");
        Add("</ul>\n");
    }

    /// <summary>A section that is a table.</summary>
    internal void Add(ReportTable table)
    {
        Section(table.Id, table.Title);
        Add($"<p class=\"note\">{Text(table.Note)}</p>\n");
        Rows(table, false);
    }

    /// <summary>A table below a heading, with its title as caption.</summary>
    internal void Rows(ReportTable table, bool hasCaption = true)
    {
        Add($"<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{Text(table.Title)}\"><table>\n");
        if (hasCaption) Add($"<caption>{Text(table.Title)}{(table.Note.Length > 0 ? ". " + Text(table.Note) : "")}</caption>\n");
        Add("<thead><tr>");
        foreach (ReportColumn column in table.Columns) Add($"<th scope=\"col\"{Class(column)}>{Text(column.Name)}</th>");
        Add("</tr></thead>\n<tbody>\n");
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            Add("<tr>");
            for (int c = 0; c < row.Count; c++) Add($"<td{(table.Columns[c].IsNumber ? " class=\"n\"" : row[c].Length > 40 ? " class=\"long\"" : "")}>{Text(row[c])}</td>");
            Add("</tr>\n");
        }

        Add("</tbody>\n</table></div>\n");
    }

    /// <summary>Charts beside each other where there is room.</summary>
    internal void Figures(IEnumerable<ReportFigure> figures)
    {
        Add("<div class=\"figures\">\n");
        foreach (ReportFigure figure in figures) Figure(figure);
        Add("</div>\n");
    }

    /// <summary>The whole page.</summary>
    internal string Close() => _text.Append("</main>\n</body>\n</html>\n").ToString();

    /// <summary>Any text as HTML.</summary>
    internal static string Text(string text) => SvgCanvas.Escape(text);

    /// <summary>A picture that scrolls where it has no room, instead of shrinking until nobody can read it.</summary>
    internal static string Scrolling(string svg, string about) => $"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{Text(about)}\">\n{svg}</div>\n";

    private void Figure(ReportFigure figure)
    {
        string whole = figure.IsWhole ? " whole" : "";
        Add($"<figure class=\"figure{whole}\" id=\"fig-{figure.Stem}\">\n<figcaption><h3>{Text(figure.Title)}</h3>{(figure.Note.Length > 0 ? $"<p>{Text(figure.Note)}</p>" : "")}</figcaption>\n");
        if (figure.Draw is null) Add($"<p class=\"words\">{Text(figure.Words)}</p>\n");
        else
        {
            Add($"<div class=\"draw{whole}\">\n");
            foreach (ChartSize size in figure.IsWhole ? new[] { ChartSize.Small, ChartSize.Medium, ChartSize.Large } : [ChartSize.Small, ChartSize.Medium]) Add($"<div class=\"{size.Letter()}\">{figure.Picture(size)}</div>\n");
            Add("</div>\n");
        }

        if (figure.Data is { Rows.Count: > 0 } data)
        {
            Add("<details><summary>Numbers</summary>\n");
            Rows(data);
            Add("</details>\n");
        }

        Add("</figure>\n");
    }

    private static string Class(ReportColumn column) => column.IsNumber ? " class=\"n\"" : "";
}
