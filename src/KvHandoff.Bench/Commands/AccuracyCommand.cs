using System.CommandLine;
using KvHandoff.Bench.Accuracy;
using KvHandoff.Bench.Reports;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Session;

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

    private static async Task<int> RunAsync(TextWindows windows, string? json, string? markdown, string? output, bool quiet, CancellationToken cancellationToken)
    {
        try
        {
            AccuracySummary summary = await JobDisplays.RunAsync(quiet, display => new AccuracyRun(display).RunAsync(windows, cancellationToken));
            string document = MarkdownTable.Render(summary.Table());
            await ResultFiles.WriteAsync(json, summary.ToJson());
            await ResultFiles.WriteAsync(markdown, document);
            if (output is not null)
            {
                await ResultFiles.WriteAsync(Path.Combine(output, "accuracy.json"), summary.ToJson());
                await ResultFiles.WriteAsync(Path.Combine(output, "accuracy.md"), document);
            }

            if (!quiet) TerminalReport.Write([summary.Table()], summary.Failures.Count, summary.ElapsedSeconds);
            foreach (string failure in summary.Failures) await Console.Error.WriteLineAsync("FAILED: " + failure);
            return summary.Failures.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("Interrupted; no results were written.");
            return ExitCodes.Interrupted;
        }
        catch (Exception e) when (e is InvalidDataException or CheckpointException or HandoffException)
        {
            await Console.Error.WriteLineAsync("FAILED: " + e.Message);
            return ExitCodes.Failure;
        }
    }
}
