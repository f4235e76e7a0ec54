using System.Globalization;
using Spectre.Console;

namespace KvHandoff.Bench.Reports;

/// <summary>The tables of a job on the terminal.</summary>
internal static class TerminalReport
{
    // A pipe has no width of its own, and no colours.
    private const int PipeWidth = 180;

    internal static void Write(Summary summary) => Write(ReportTables.All(summary), summary.Failures.Count, summary.ElapsedSeconds);

    internal static void Write(IEnumerable<ReportTable> tables, int failures, double elapsedSeconds)
    {
        bool isPipe = Console.IsOutputRedirected;
        IAnsiConsole console = isPipe ? AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors }) : AnsiConsole.Console;
        if (isPipe) console.Profile.Width = PipeWidth;
        foreach (ReportTable report in tables)
        {
            var table = new Table { Border = TableBorder.Rounded, Title = new TableTitle(Markup.Escape(report.Title)) };
            foreach (ReportColumn column in report.Columns) table.AddColumn(new TableColumn(Markup.Escape(column.Name)) { Alignment = column.IsNumber ? Justify.Right : Justify.Left, NoWrap = column.IsNumber || column == report.Columns[0] });
            foreach (IReadOnlyList<string> row in report.Rows) table.AddRow([.. row.Select(Markup.Escape)]);
            console.Write(table);
        }

        string verdict = failures == 0 ? "[green]All that was measured holds.[/]" : $"[red]{failures} measured failures.[/]";
        console.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"{verdict} {elapsedSeconds:0.0} s in all."));
    }
}
