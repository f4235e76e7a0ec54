using System.CommandLine;
using KvHandoff.Bench.Commands;

namespace KvHandoff.Bench.Tests.Commands;

/// <summary>A command as the program runs it, within this process: exit code, standard output, standard error.</summary>
internal static class CommandRun
{
    private static readonly SemaphoreSlim Console = new(1);

    internal static async Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments)
    {
        // The console is one for all tests.
        await Console.WaitAsync();
        (TextWriter output, TextWriter errors) = (System.Console.Out, System.Console.Error);
        using StringWriter outputText = new(), errorText = new();
        try
        {
            System.Console.SetOut(outputText);
            System.Console.SetError(errorText);
            var root = new RootCommand("test") { PlanCommand.Create(), SimulateCommand.Create() };
            ParseResult parsed = root.Parse(arguments);
            if (parsed.Errors.Count > 0)
            {
                await errorText.WriteLineAsync(ArgumentRules.Explain(parsed));
                return (ExitCodes.BadArguments, outputText.ToString(), errorText.ToString());
            }

            int code = await parsed.InvokeAsync(new InvocationConfiguration { Output = outputText, Error = errorText });
            return (code, outputText.ToString(), errorText.ToString());
        }
        finally
        {
            System.Console.SetOut(output);
            System.Console.SetError(errors);
            Console.Release();
        }
    }
}
