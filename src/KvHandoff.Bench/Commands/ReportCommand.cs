using System.CommandLine;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>report</c> command: makes pages again from results.</summary>
internal static class ReportCommand
{
    internal static Command Create()
    {
        var files = new Argument<string[]>("FILE") { Description = "Results of evaluate, handoff (also --sweep), kernels, plan, simulate: one of each at most. Those of handoff and kernels become part of an evaluation's page.", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> from = ArgumentRules.File("--from", $"One summary.json of the main job, with the {HtmlReport.KernelsFile} beside it if there is one; or a {HtmlReport.KernelsFile}.");
        var output = new Option<string?>("--output") { Description = "The directory to write to; default that of the first file. With --from: the page to write; default report.html beside the summary, or kernels.html.", Arity = ArgumentArity.ExactlyOne };
        var command = new Command("report", $"""
            Makes pages again from results: which page is known from the file.
            Exit code: 0 success, 2 bad arguments.
            Examples:
              report results/1/summary.json results/sweep/summary.json results/1/{HtmlReport.KernelsFile} --output pages
              report --from results/1/summary.json --output page.html
            """)
        { files, from, output };
        command.Validators.Add(result =>
        {
            bool hasFiles = result.GetResult(files) is { Tokens.Count: > 0 }, hasFrom = result.GetResult(from) is { Implicit: false };
            string? to = result.GetResult(output) is { Implicit: false } given ? given.Tokens.FirstOrDefault()?.Value : null;
            if (hasFiles && hasFrom) result.AddError($"--from: '{result.GetResult(from)!.Tokens.FirstOrDefault()?.Value}' is not allowed with FILE; allowed: one of the two");
            else if (!hasFiles && !hasFrom) result.AddError("--from: no value was given, nor any FILE; allowed: the path of a file");
            else if (hasFiles && to is not null && (to.Length == 0 || File.Exists(to))) result.AddError($"--output: '{to}' is not allowed; allowed: the path of a directory, which is made if it does not exist");
            else if (hasFrom && to is not null && (to.Length == 0 || Directory.Exists(to))) result.AddError($"--output: '{to}' is not allowed; allowed: the path of a file");
        });
        command.SetAction((result, cancellationToken) => result.GetValue(from) is { } source ? FromAsync(source, result.GetValue(output), cancellationToken) : FilesAsync(result.GetValue(files)!, result.GetValue(output), cancellationToken));
        return command;
    }

    private static async Task<int> FilesAsync(IReadOnlyList<string> files, string? directory, CancellationToken cancellationToken)
    {
        var pages = new ResultPages();
        foreach (string file in files)
        {
            try
            {
                pages = pages.With(PlanCommandDeployment.ReadFile("FILE", file));
            }
            catch (InvalidDataException e)
            {
                return await RefuseAsync(e.Message.StartsWith("FILE: ", StringComparison.Ordinal) ? e.Message : $"FILE: '{file}' is not allowed: {e.Message} Allowed: results of this program");
            }
        }

        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            foreach (string page in pages.Write(directory ?? Path.GetDirectoryName(Path.GetFullPath(files[0]))!)) Console.WriteLine(page);
            return ExitCodes.Success;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return await RefuseAsync($"FILE: no page was made: {e.Message} Allowed: results of this program, and a directory that can be written");
        }
    }

    private static async Task<int> FromAsync(string source, string? output, CancellationToken cancellationToken)
    {
        if (!File.Exists(source)) return await RefuseAsync($"--from: '{source}' is not allowed; allowed: the path of a file that exists");
        try
        {
            string directory = Path.GetDirectoryName(Path.GetFullPath(source))!, json = await File.ReadAllTextAsync(source, cancellationToken);
            bool isKernels = Path.GetFileName(source) == HtmlReport.KernelsFile;
            string html = isKernels ? HtmlReport.Render(KernelSummary.FromJson(json)) : HtmlReport.Render(Summary.FromJson(json), await HtmlReport.KernelsInAsync(directory));
            string page = output ?? Path.Combine(directory, isKernels ? "kernels.html" : "report.html");
            await File.WriteAllTextAsync(page, html, cancellationToken);
            Console.WriteLine(page);
            return ExitCodes.Success;
        }
        catch (InvalidDataException e)
        {
            return await RefuseAsync($"--from: '{source}' is not allowed: {e.Message.ReplaceLineEndings(" ")} Allowed: a summary.json of this program, alone or beside its {HtmlReport.KernelsFile}");
        }
    }

    private static async Task<int> RefuseAsync(string line)
    {
        await Console.Error.WriteLineAsync(line.ReplaceLineEndings(" "));
        return ExitCodes.BadArguments;
    }
}
