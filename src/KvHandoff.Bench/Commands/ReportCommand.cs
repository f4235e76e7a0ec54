using System.CommandLine;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>report</c> command: makes the page again from a summary.</summary>
internal static class ReportCommand
{
    internal static Command Create()
    {
        Option<string?> from = ArgumentRules.File("--from", "The summary.json of an earlier run."), output = ArgumentRules.File("--output", "The page to write; default report.html beside the summary.");
        from.Required = true;
        var command = new Command("report", "Rebuilds report.html from a summary.json.\nExample:\n  report --from results/1/summary.json --output page.html") { from, output };
        command.SetAction(async (result, cancellationToken) =>
        {
            string source = result.GetValue(from)!;
            if (!File.Exists(source))
            {
                await Console.Error.WriteLineAsync($"--from: '{source}' is not allowed; allowed: the path of a file that exists");
                return ExitCodes.BadArguments;
            }

            try
            {
                Summary summary = Summary.FromJson(await File.ReadAllTextAsync(source, cancellationToken));
                string page = result.GetValue(output) ?? Path.Combine(Path.GetDirectoryName(Path.GetFullPath(source))!, "report.html");
                await File.WriteAllTextAsync(page, HtmlReport.Render(summary), cancellationToken);
                Console.WriteLine(page);
                return ExitCodes.Success;
            }
            catch (InvalidDataException e)
            {
                await Console.Error.WriteLineAsync($"--from: '{source}' is not allowed: {e.Message.ReplaceLineEndings(" ")} Allowed: a summary.json of this program");
                return ExitCodes.BadArguments;
            }
        });
        return command;
    }
}
