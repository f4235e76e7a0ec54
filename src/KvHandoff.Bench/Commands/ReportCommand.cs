using System.CommandLine;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>report</c> command: makes the page again from a summary.</summary>
internal static class ReportCommand
{
    internal static Command Create()
    {
        Option<string?> from = ArgumentRules.File("--from", $"The summary.json of an earlier run, or a {HtmlReport.KernelsFile}."), output = ArgumentRules.File("--output", "The page to write; default report.html beside the summary, or kernels.html.");
        from.Required = true;
        var command = new Command("report", $"Rebuilds report.html from a summary.json, with the {HtmlReport.KernelsFile} beside it if there is one; or kernels.html from that alone.\nExample:\n  report --from results/1/summary.json --output page.html") { from, output };
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
                string directory = Path.GetDirectoryName(Path.GetFullPath(source))!, json = await File.ReadAllTextAsync(source, cancellationToken);
                bool isKernels = Path.GetFileName(source) == HtmlReport.KernelsFile;
                string html = isKernels ? HtmlReport.Render(KernelSummary.FromJson(json)) : HtmlReport.Render(Summary.FromJson(json), await HtmlReport.KernelsInAsync(directory));
                string page = result.GetValue(output) ?? Path.Combine(directory, isKernels ? "kernels.html" : "report.html");
                await File.WriteAllTextAsync(page, html, cancellationToken);
                Console.WriteLine(page);
                return ExitCodes.Success;
            }
            catch (InvalidDataException e)
            {
                await Console.Error.WriteLineAsync($"--from: '{source}' is not allowed: {e.Message.ReplaceLineEndings(" ")} Allowed: a summary.json of this program, alone or beside its {HtmlReport.KernelsFile}");
                return ExitCodes.BadArguments;
            }
        });
        return command;
    }
}
