using System.CommandLine;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using KvHandoff.Bench.DecodeAttention;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>kernels</c> command: every kernel beside its limit in a minute or two, or BenchmarkDotNet with its own arguments.</summary>
internal static class KernelsCommand
{
    private const string FilterName = "--filter", QuickName = "--quick";

    internal static Command Create()
    {
        var quick = new Option<bool>(QuickName) { Description = "Measure every kernel and its limit in turns, in under two minutes, instead of running BenchmarkDotNet." };
        Option<string?> json = ArgumentRules.File("--json", $"With {QuickName}: also write the results to this file.");
        Option<string?> output = ArgumentRules.Folder("--output", $"With {QuickName}: also write kernels.json and kernels.html to this directory.");
        var quiet = new Option<bool>("--quiet") { Description = $"With {QuickName}: print nothing but failures." };
        var command = new Command("kernels", $"""
            Measures the kernels: packing, gathering, the fused pass, checksums, lossless codecs, attention.
            With {QuickName}: GB/s of every kernel in cache and from memory, its limit measured in the same run, their ratio, and bytes allocated; of attention
            also tokens per second and error, beside libtorch where {TorchBaseline.Variable} names its library (native/baselines);
            {FilterName} TEXT takes the kernels whose name has the text. Exit code: 0 success, 1 a kernel's output is wrong, 2 bad arguments.
            Without it: the BenchmarkDotNet suites, briefly and in this process; every argument is passed on to BenchmarkDotNet. A job named with
            --job runs in processes of its own, which BenchmarkDotNet builds: start it inside the repository.
            Examples:
              kernels {QuickName} --json kernels.json
              kernels {QuickName} {FilterName} pack
              kernels --list flat
              kernels {FilterName} '*Pack*'
              kernels {FilterName} '*Checksum*' --job default
              kernels {FilterName} '*Attention*Threads: 1*64/8/128*bf16*Tokens: 65536*'
            """)
        {
            quick, json, output, quiet,
        };
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction((result, cancellationToken) =>
        {
            if (result.GetValue(quick)) return RunQuickAsync(result.UnmatchedTokens, result.GetValue(json), result.GetValue(output), result.GetValue(quiet), cancellationToken);
            foreach (Option option in new Option[] { json, output, quiet })
            {
                if (result.GetResult(option) is null or { Implicit: true }) continue;
                return Task.FromResult(Refused($"{option.Name}: '{result.GetResult(option)!.IdentifierToken}' is not allowed without {QuickName}; allowed: {QuickName}, or arguments of BenchmarkDotNet"));
            }

            return Task.FromResult(RunSuites(result.UnmatchedTokens));
        });
        return command;
    }

    private static int RunSuites(IReadOnlyList<string> given)
    {
        // Without arguments BenchmarkDotNet asks which suite to run, which nobody can answer in a pipe.
        string[] arguments = given.Count > 0 ? [.. given] : [FilterName, "*"];
        BenchmarkSwitcher.FromAssembly(typeof(KernelsCommand).Assembly).Run(arguments, SuiteConfig.For(arguments));
        return ExitCodes.Success;
    }

    private static Task<int> RunQuickAsync(IReadOnlyList<string> arguments, string? json, string? output, bool quiet, CancellationToken cancellationToken)
    {
        if (ReadFilter(arguments, out string filter) is { } refusal) return Task.FromResult(Refused(refusal));
        KernelDefinition[] kernels = [.. KernelCatalog.All.Where(k => k.BaseName.Contains(filter, StringComparison.OrdinalIgnoreCase))];
        AttentionCase[] attention = [.. AttentionCatalog.Quick.Where(c => c.Name.Contains(filter, StringComparison.OrdinalIgnoreCase))];
        if (kernels.Length + attention.Length == 0)
        {
            IEnumerable<string> names = KernelCatalog.All.Select(k => k.BaseName).Concat(AttentionCatalog.Quick.Select(c => c.Name));
            return Task.FromResult(Refused($"{FilterName}: '{filter}' is not allowed; allowed: a part of one of {string.Join("; ", names)}"));
        }

        return MeasuringJob.RunAsync(quiet, display => Task.Run(() => new KernelRun(display).Run(kernels, attention, cancellationToken), cancellationToken), summary =>
        [
            (json, summary.ToJson()), (MeasuringJob.In(output, HtmlReport.KernelsFile), summary.ToJson()), (MeasuringJob.In(output, "kernels.html"), HtmlReport.Render(summary)),
        ]);
    }

    // Read here and not by an option, so that BenchmarkDotNet gets its own --filter as it was written.
    private static string? ReadFilter(IReadOnlyList<string> arguments, out string filter)
    {
        filter = "";
        for (int i = 0; i < arguments.Count; i += 2)
        {
            if (arguments[i] != FilterName) return $"'{arguments[i]}' is not an argument of kernels {QuickName}; allowed: {FilterName}, --json, --output, --quiet";
            if (i + 1 == arguments.Count) return $"{FilterName}: no value was given; allowed: a part of a kernel's name";
            filter = arguments[i + 1].Trim('*');
        }

        return null;
    }

    private static int Refused(string line)
    {
        Console.Error.WriteLine(line);
        return ExitCodes.BadArguments;
    }
}
