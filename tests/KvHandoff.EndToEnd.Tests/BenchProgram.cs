using System.Diagnostics;
using System.Text;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The built program as a process of its own, the way users start it.</summary>
internal sealed class BenchProgram : IDisposable
{
    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(180);

    private readonly Process _process;
    private readonly StringBuilder _output = new(), _errors = new();

    private BenchProgram(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Append(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Append(_errors, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    internal string Output => Read(_output);

    internal string Errors => Read(_errors);

    internal int Id => _process.Id;

    internal static BenchProgram Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = Path.GetTempPath() };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "KvHandoff.Bench.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        return new BenchProgram(Process.Start(start)!);
    }

    /// <summary>Runs to the end and returns the exit code with what was written.</summary>
    internal static (int ExitCode, string Output, string Errors) Run(params string[] arguments)
    {
        using BenchProgram program = Start(arguments);
        int code = program.WaitForExit();
        return (code, program.Output, program.Errors);
    }

    internal int WaitForExit()
    {
        if (!_process.WaitForExit(Limit))
        {
            _process.Kill(entireProcessTree: true);
            Assert.Fail($"The program hung. It wrote: {Output}{Errors}");
        }

        // Without a limit this call also waits for the rest of the output.
        _process.WaitForExit();
        return _process.ExitCode;
    }

    /// <summary>Waits until the output has <paramref name="text"/>.</summary>
    internal void WaitForOutput(string text)
    {
        long end = Environment.TickCount64 + (long)Limit.TotalMilliseconds;
        while (!Output.Contains(text, StringComparison.Ordinal))
        {
            Assert.True(Environment.TickCount64 < end && !_process.HasExited, $"The program never wrote '{text}'. It wrote: {Output}{Errors}");
            Thread.Sleep(20);
        }
    }

    internal void Interrupt()
    {
        using Process kill = Process.Start("kill", ["-INT", _process.Id.ToString()]);
        kill.WaitForExit();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private static void Append(StringBuilder text, string? line)
    {
        if (line is null) return;
        lock (text) text.AppendLine(line);
    }

    private static string Read(StringBuilder text)
    {
        lock (text) return text.ToString();
    }
}
