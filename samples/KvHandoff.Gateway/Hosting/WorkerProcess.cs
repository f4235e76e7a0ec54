using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using KvHandoff.Gateway.Limits;

namespace KvHandoff.Gateway.Hosting;

/// <summary>What a worker says when it serves: one line of JSON on its standard output.</summary>
internal sealed record ReadyLine(string Name, string Address, string? Handoff);

/// <summary>A worker as a process of its own, of this very program. It ends when its input does, so that it never outlives this process, however that one ends.</summary>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private static readonly TimeSpan ExitGrace = TimeSpan.FromSeconds(3);

    private readonly Process _process;
    private readonly string _name;

    private WorkerProcess(Process process, string name) => (_process, _name) = (process, name);

    internal int Id => _process.Id;

    /// <summary>Completes when the process has ended.</summary>
    internal Task Exited => _process.WaitForExitAsync();

    /// <summary>Starts a worker.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="arguments">Of its command line.</param>
    /// <param name="environment">Variables beside this process's own.</param>
    /// <param name="note">Gets what it writes to its standard error, and to its output after the ready line.</param>
    internal static WorkerProcess Start(string name, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment, Action<string> note)
    {
        // Next to the assembly lies its own host; the process that runs now may be another's, such as a test's.
        string assembly = Assembly.GetExecutingAssembly().Location, native = Path.ChangeExtension(assembly, OperatingSystem.IsWindows() ? ".exe" : null);
        bool hasNative = File.Exists(native);
        var start = new ProcessStartInfo(hasNative ? native : "dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        if (!hasNative) start.ArgumentList.Add(assembly);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        // Clients' keys are the gateway's business alone.
        start.Environment.Remove(ApiKeys.Variable);
        foreach ((string variable, string value) in environment) start.Environment[variable] = value;
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"Worker {name} did not start.");
        process.ErrorDataReceived += (_, line) =>
        {
            if (!string.IsNullOrWhiteSpace(line.Data)) note($"{name}: {line.Data}");
        };
        process.BeginErrorReadLine();
        return new WorkerProcess(process, name);
    }

    /// <summary>Waits until it serves.</summary>
    /// <exception cref="InvalidOperationException">It ended, or said something else.</exception>
    internal async Task<ReadyLine> ReadyAsync(CancellationToken cancellationToken)
    {
        while (await _process.StandardOutput.ReadLineAsync(cancellationToken) is { } line)
        {
            if (!line.StartsWith('{')) continue;
            try
            {
                using JsonDocument ready = JsonDocument.Parse(line);
                JsonElement root = ready.RootElement;
                _ = DrainOutputAsync();
                return new ReadyLine(root.GetProperty("name").GetString()!, root.GetProperty("address").GetString()!, root.TryGetProperty("handoff", out JsonElement handoff) ? handoff.GetString() : null);
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                throw new InvalidOperationException($"Worker {_name} wrote a line that is no ready line: {line[..Math.Min(200, line.Length)]}", e);
            }
        }

        await Exited.WaitAsync(ExitGrace, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        throw new InvalidOperationException($"Worker {_name} ended before it served{(_process.HasExited ? $", with exit code {_process.ExitCode}" : "")}.");
    }

    /// <summary>Ends it: by closing its input, and by force if that does not help.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            _process.StandardInput.Close();
            await Exited.WaitAsync(ExitGrace);
        }
        catch (Exception e) when (e is TimeoutException or IOException or InvalidOperationException)
        {
            Kill();
        }

        _process.Dispose();
    }

    private void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    // A full pipe would stop the worker.
    private async Task DrainOutputAsync()
    {
        try
        {
            while (await _process.StandardOutput.ReadLineAsync() is not null)
            {
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
        }
    }
}
