using Spectre.Console;

namespace KvHandoff.Bench.Reports;

/// <summary>Picks the display of a job: live on a terminal, lines in a pipe, none when quiet.</summary>
internal static class JobDisplays
{
    internal static Task<T> RunAsync<T>(bool quiet, Func<IJobDisplay, Task<T>> job)
    {
        if (quiet) return job(new PlainDisplay(null));
        return AnsiConsole.Profile.Capabilities.Interactive && !Console.IsOutputRedirected
            ? TerminalDisplay.RunAsync(AnsiConsole.Console, job)
            : job(new PlainDisplay(Console.Out));
    }
}
