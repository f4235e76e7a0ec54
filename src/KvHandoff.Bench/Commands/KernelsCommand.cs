using System.CommandLine;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>kernels</c> command: BenchmarkDotNet with its own arguments.</summary>
internal static class KernelsCommand
{
    internal static Command Create()
    {
        var command = new Command("kernels", "Runs the BenchmarkDotNet suites; every argument is passed on to BenchmarkDotNet.\nExamples:\n  kernels --list flat\n  kernels --filter '*Attend*'")
        {
            TreatUnmatchedTokensAsErrors = false,
        };
        command.SetAction(result =>
        {
            // Without arguments BenchmarkDotNet asks which suite to run, which nobody can answer in a pipe.
            string[] arguments = result.UnmatchedTokens.Count > 0 ? [.. result.UnmatchedTokens] : ["--filter", "*"];
            BenchmarkSwitcher.FromAssembly(typeof(KernelsCommand).Assembly).Run(arguments, DefaultConfig.Instance);
            return ExitCodes.Success;
        });
        return command;
    }
}
