using System.CommandLine;
using System.Diagnostics;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>compare</c> command: runs against the first of them, and a gate for continuous integration.</summary>
internal static class CompareCommand
{
    private const int MostRuns = 8;

    internal static Command Create()
    {
        var files = new Argument<string[]>("FILE") { Description = $"Results of evaluate, or of handoff: two to {MostRuns}, of which the first is what the others are held against.", Arity = ArgumentArity.ZeroOrMore };
        var failOn = new Option<string[]>("--fail-on") { Description = $"Exit with 1 when this holds; may be given several times. Allowed: {FailCondition.Allowed}.", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> output = ArgumentRules.Folder("--output", "Also write comparison.html, with the runs laid over each other, and comparison.json to this directory."), json = ArgumentRules.File("--json", "Also write the results to this file.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("compare", """
            Compares runs: differences of means and percentiles with bootstrap confidence intervals from the raw samples.
            Exit code: 0 success, 1 a condition of --fail-on holds, or cannot be judged, 2 bad arguments.
            Examples:
              compare before/summary.json after/summary.json --output comparison
              compare before/summary.json after/summary.json --fail-on "ttft_ms:p50>10%" --fail-on "output_speed:mean<-5%"
              compare before/handoff.json after/handoff.json --fail-on "seconds:p50>15%"
            """)
        { files, failOn, output, json, quiet };
        command.Validators.Add(result =>
        {
            int count = result.GetResult(files)?.Tokens.Count ?? 0;
            if (count is < 2 or > MostRuns) result.AddError($"FILE: '{count}' files are not allowed; allowed: two to {MostRuns}");
            foreach (string text in result.GetResult(failOn)?.Tokens.Select(t => t.Value) ?? [])
            {
                if (FailCondition.Parse(text) is null) result.AddError($"--fail-on: '{text}' is not allowed; allowed: {FailCondition.Allowed}");
            }
        });
        command.SetAction((result, _) => RunAsync(result.GetValue(files)!, [.. (result.GetValue(failOn) ?? []).Select(t => FailCondition.Parse(t)!)], result.GetValue(output), result.GetValue(json), result.GetValue(quiet)));
        return command;
    }

    private static async Task<int> RunAsync(IReadOnlyList<string> files, IReadOnlyList<FailCondition> conditions, string? output, string? json, bool quiet)
    {
        long started = Stopwatch.GetTimestamp();
        var runs = new List<ComparedRun>();
        string[] names = Names(files);
        for (int i = 0; i < files.Count; i++)
        {
            try
            {
                runs.Add(ComparedRun.Read(names[i], PlanCommandDeployment.ReadFile("FILE", files[i])));
            }
            catch (InvalidDataException e)
            {
                await Console.Error.WriteLineAsync((e.Message.StartsWith("FILE: ", StringComparison.Ordinal) ? e.Message : $"FILE: '{files[i]}' is not allowed: {e.Message} Allowed: results of evaluate or handoff").ReplaceLineEndings(" "));
                return ExitCodes.BadArguments;
            }
        }

        RunComparison comparison;
        try
        {
            comparison = RunComparison.Of(runs, conditions);
        }
        catch (InvalidDataException e)
        {
            await Console.Error.WriteLineAsync($"FILE: {e.Message} Allowed: runs of one command with a load or transfer in common");
            return ExitCodes.BadArguments;
        }

        comparison = comparison with { ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds };
        string text = comparison.ToJson();
        await ResultFiles.WriteAsync(json, text);
        await ResultFiles.WriteAsync(MeasuringJob.In(output, "comparison.json"), text);
        if (output is not null) await ResultFiles.WriteAsync(MeasuringJob.In(output, "comparison.html"), ComparisonPage.Render(comparison, runs));
        if (!quiet)
        {
            TerminalReport.Write(comparison.Tables(), comparison.Failures.Count, comparison.ElapsedSeconds);
            foreach (string warning in comparison.Warnings) Console.WriteLine("NOTE: " + warning);
        }

        foreach (string failure in comparison.Failures) await Console.Error.WriteLineAsync("FAILED: " + failure);
        return comparison.Failures.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
    }

    // The shortest end of each path that no other has: names of files are all alike.
    private static string[] Names(IReadOnlyList<string> files)
    {
        string[][] parts = [.. files.Select(f => Path.GetFullPath(f).Split('/', '\\'))];
        for (int count = 1; count <= parts.Max(p => p.Length); count++)
        {
            string[] names = [.. parts.Select(p => string.Join('/', p.TakeLast(count)))];
            if (names.Distinct().Count() == names.Length) return names;
        }

        return [.. files.Select((f, i) => $"{i + 1}: {Path.GetFileName(f)}")];
    }
}
