using Spectre.Console;

namespace KvHandoff.Bench.Reports;

/// <summary>A spinner with the present step; finished steps stay above it. For terminals.</summary>
internal sealed class TerminalDisplay(StatusContext status, IAnsiConsole console) : IJobDisplay
{
    private string _step = "";

    public void Begin(string step)
    {
        _step = step;
        status.Status(Markup.Escape(step));
    }

    public void End(string result) => console.MarkupLine($"[green]done[/] {Markup.Escape(_step)}: {Markup.Escape(result)}");

    public void Note(string text) => status.Status($"{Markup.Escape(_step)} [grey]({Markup.Escape(text)})[/]");

    /// <summary>Runs a job under a live display.</summary>
    internal static Task<T> RunAsync<T>(IAnsiConsole console, Func<IJobDisplay, Task<T>> job) =>
        console.Status().Spinner(Spinner.Known.Dots).StartAsync("starting", status => job(new TerminalDisplay(status, console)));
}
