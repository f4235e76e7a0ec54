using System.Text;

namespace KvHandoff.Bench.Reports;

/// <summary>A table as a section of a Markdown document.</summary>
internal static class MarkdownTable
{
    internal static string Render(ReportTable table)
    {
        var text = new StringBuilder().Append("## ").Append(table.Title).Append("\n\n").Append(table.Note).Append("\n\n");
        Row(text, table.Columns.Select(c => c.Name));
        Row(text, table.Columns.Select(c => c.IsNumber ? "---:" : "---"));
        foreach (IReadOnlyList<string> row in table.Rows) Row(text, row);
        return text.ToString();
    }

    private static void Row(StringBuilder text, IEnumerable<string> cells) =>
        text.Append("| ").AppendJoin(" | ", cells.Select(c => c.Replace("|", "\\|"))).Append(" |\n");
}
