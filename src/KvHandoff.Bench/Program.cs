using System.CommandLine;
using KvHandoff.Bench.Commands;
using KvHandoff.Bench.Reports;

var root = new RootCommand("What a KV-cache handoff costs on this machine. Without a command: handoff.")
{
    HandoffCommand.Create(), EvaluateCommand.Create(EvaluationReport.Write), ReportCommand.Create(), KernelsCommand.Create(), AccuracyCommand.Create(), CompareCommand.Create(), LinksCommand.Create(), PlanCommand.Create(), SimulateCommand.Create(), WorkerCommand.Create(),
};
string[] asksForRoot = ["-h", "--help", "-?", "/?", "--version"];
// No command stands for the main job, with or without its options.
string[] arguments = args.Length == 0 || (args[0].StartsWith('-') && !asksForRoot.Contains(args[0])) ? ["handoff", .. args] : args;
ParseResult parsed = root.Parse(arguments);
if (parsed.Errors.Count > 0)
{
    Console.Error.WriteLine(ArgumentRules.Explain(parsed));
    return ExitCodes.BadArguments;
}

return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(20) });
