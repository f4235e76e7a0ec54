using System.CommandLine;
using KvHandoff.Bench.Accuracy;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>accuracy</c> command: what codecs and stored forms cost in quality.</summary>
internal static class AccuracyCommand
{
    internal static Command Create()
    {
        Option<int?> windows = ArgumentRules.Number("--windows", $"Windows of the held-out text; default: all {TextWindows.Most}.", 1, TextWindows.Most);
        Option<string?> json = ArgumentRules.File("--json", "Also write the results to this file."), markdown = ArgumentRules.File("--markdown", "Also write the table to this file, as a section of docs/numerics.md.");
        Option<string?> output = ArgumentRules.Folder("--output", "Also write accuracy.json and accuracy.md to this directory.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("accuracy", $"""
            What every codec and every stored 8-bit form changes in the reference model's predictions: prefixes of held-out text are handed over
            between a real sender and a real receiver, the next tokens are decoded on what landed, and compared with BF16 without a handoff: mean KL,
            top-1 agreement, change of perplexity; once more with outliers injected into the keys. Takes 1 to 3 minutes.
            Exit code: 0 success, 1 a measured failure (a lossless form changes something), 2 bad arguments, 130 interrupted.
            Examples:
              accuracy --json accuracy.json --markdown accuracy.md
              accuracy --windows 4
            """)
        {
            windows, json, markdown, output, quiet,
        };
        command.SetAction((result, cancellationToken) => RunAsync(new TextWindows(result.GetValue(windows) ?? TextWindows.Most),
            result.GetValue(json), result.GetValue(markdown), result.GetValue(output), result.GetValue(quiet), cancellationToken));
        return command;
    }

    private static Task<int> RunAsync(TextWindows windows, string? json, string? markdown, string? output, bool quiet, CancellationToken cancellationToken) => MeasuringJob.RunAsync(quiet,
        display => new AccuracyRun(display).RunAsync(windows, cancellationToken),
        summary =>
        {
            string document = MarkdownTable.Render(summary.Table());
            return [(json, summary.ToJson()), (markdown, document), (MeasuringJob.In(output, "accuracy.json"), summary.ToJson()), (MeasuringJob.In(output, "accuracy.md"), document)];
        });
}
