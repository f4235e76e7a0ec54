using System.Globalization;
using System.Text;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>report.md: the tables with what a reader has to know of them.</summary>
internal static class MarkdownReport
{
    internal const string Name = "report.md";

    internal static string Render(EvaluationSummary summary)
    {
        ConfigSection c = summary.Config;
        EnvironmentSection e = summary.Environment;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"# {c.Model} at {c.Endpoint}\n\n");
        foreach (string failure in summary.Failures) text.Append(CultureInfo.InvariantCulture, $"- **FAILED:** {failure}\n");
        foreach (string warning in summary.Warnings) text.Append(CultureInfo.InvariantCulture, $"- {warning}\n");
        if (summary.Failures.Count + summary.Warnings.Count > 0) text.Append('\n');
        foreach (ReportTable table in summary.Tables()) text.Append(MarkdownTable.Render(table)).Append('\n');
        text.Append("## Provenance\n\n");
        text.Append(CultureInfo.InvariantCulture, $"- Run {summary.Run.Id}, started {summary.Run.StartedAt}, {summary.ElapsedSeconds:0.0} s, seed {summary.Run.Seed}.\n");
        text.Append(CultureInfo.InvariantCulture, $"- `{summary.Run.CommandLine}`\n");
        text.Append(CultureInfo.InvariantCulture, $"- Client: {e.Cpu}, {e.Cores} cores; {e.Os}; {e.Dotnet}; KvHandoff {e.Version}; clock of {summary.Run.ClockTicksPerSecond} ticks per second.\n");
        text.Append(CultureInfo.InvariantCulture, $"- {(c.Stream ? "Streaming" : "Not streaming")}, temperature {(c.Temperature is { } t ? t.ToString(CultureInfo.InvariantCulture) : "not sent")}, {c.WarmUpPerType} warm-up requests per type and load (not counted), {c.MaxAttempts} attempts at most, {c.MaxRetryWaitSeconds:0.#} s of waits at most, {c.TimeoutSeconds:0.#} s per attempt{(c.SeedCompat ? ", definitions of the original study" : "")}.\n");
        foreach (PromptSection p in summary.Prompts) text.Append(CultureInfo.InvariantCulture, $"- {p.Type}: {p.Bytes} bytes, SHA-256 `{p.Sha256}`, {(p.MaxCompletionTokens is { } most ? $"{most} completion tokens at most" : "no limit of completion tokens sent")}.\n");
        return text.ToString();
    }
}
