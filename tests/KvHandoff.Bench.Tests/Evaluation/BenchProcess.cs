using System.Diagnostics;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>The program as users start it, in a working directory of its own.</summary>
internal sealed class BenchProcess : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);
    private readonly Process _process;
    private readonly Task<string> _output, _errors;

    private BenchProcess(Process process) => (_process, _output, _errors) = (process, process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());

    internal static BenchProcess Start(string directory, IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = directory };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "KvHandoff.Bench.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        foreach (string name in (string[])["CEREBRAS_API_KEY", "OPENAI_API_KEY"]) start.Environment.Remove(name);
        foreach ((string name, string value) in environment) start.Environment[name] = value;
        return new BenchProcess(Process.Start(start)!);
    }

    internal static async Task<(int ExitCode, string Output, string Errors)> RunAsync(string directory, IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        using BenchProcess process = Start(directory, environment, arguments);
        return await process.EndAsync();
    }

    internal void Interrupt()
    {
        using Process kill = Process.Start("kill", ["-INT", $"{_process.Id}"]);
        kill.WaitForExit();
    }

    internal async Task<(int ExitCode, string Output, string Errors)> EndAsync()
    {
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            await _process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill(entireProcessTree: true);
            Assert.Fail($"The program hung. It wrote: {await _output}{await _errors}");
        }

        return (_process.ExitCode, await _output, await _errors);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }
}
