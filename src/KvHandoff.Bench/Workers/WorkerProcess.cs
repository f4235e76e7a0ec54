using System.Diagnostics;
using System.Reflection;
using System.Text;
using System.Text.Json;

namespace KvHandoff.Bench.Workers;

/// <summary>A child process of this program, asked and answering in lines of JSON over its standard streams.</summary>
/// <remarks>It ends when its input does, so that it never outlives this process, however that one ends.</remarks>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private const int MaxErrorCharacters = 2000;
    private static readonly TimeSpan ExitGrace = TimeSpan.FromSeconds(2), ExitPoll = TimeSpan.FromMilliseconds(20);

    private readonly Process _process;
    private readonly StringBuilder _errors = new();

    private WorkerProcess(Process process, string role)
    {
        _process = process;
        Role = role;
        Id = process.Id;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_errors)
            {
                if (line.Data is not null && _errors.Length < MaxErrorCharacters) _errors.AppendLine(line.Data);
            }
        };
        process.BeginErrorReadLine();
    }

    /// <summary>What the process is for: "prefill", "decode" or "sink".</summary>
    internal string Role { get; }

    internal int Id { get; }

    /// <summary>Starts this program again as a worker.</summary>
    internal static WorkerProcess Start(string role)
    {
        string program = Environment.ProcessPath ?? throw new InvalidOperationException("This process has no path to start workers from.");
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        // Under the dotnet host the program is the assembly, not the process.
        if (Path.GetFileNameWithoutExtension(program) == "dotnet") start.ArgumentList.Add(Assembly.GetExecutingAssembly().Location);
        start.ArgumentList.Add("worker");
        start.ArgumentList.Add(role);
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"The {role} worker did not start.");
        return new WorkerProcess(process, role);
    }

    /// <summary>Asks one thing and waits for its answer.</summary>
    internal async Task<TReply> ExchangeAsync<TReply>(WorkerMessage request, CancellationToken cancellationToken) where TReply : WorkerMessage
    {
        await SendAsync(request, cancellationToken);
        return await ReceiveAsync<TReply>(cancellationToken);
    }

    internal async Task SendAsync(WorkerMessage request, CancellationToken cancellationToken)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(request.ToLine().AsMemory(), cancellationToken);
            await _process.StandardInput.FlushAsync(cancellationToken);
        }
        catch (IOException)
        {
            throw await GoneAsync();
        }
    }

    /// <summary>The worker's next answer.</summary>
    /// <exception cref="WorkerException">The worker reports a failure, has ended, or answers something else.</exception>
    internal async Task<TReply> ReceiveAsync<TReply>(CancellationToken cancellationToken) where TReply : WorkerMessage
    {
        string? line = await _process.StandardOutput.ReadLineAsync(cancellationToken);
        if (line is null) throw await GoneAsync();
        WorkerMessage message;
        try
        {
            message = WorkerMessage.FromLine(line);
        }
        catch (JsonException e)
        {
            throw new WorkerException(Role, $"The {Role} process ({Id}) wrote a line that is no message: {e.Message}", isGone: false);
        }

        return message switch
        {
            TReply reply => reply,
            FailedReply failed => throw new WorkerException(Role, $"The {Role} process reports {failed.Failure}: {failed.Message}", isGone: false),
            _ => throw new WorkerException(Role, $"The {Role} process answered {message.GetType().Name}; expected {typeof(TReply).Name}.", isGone: false),
        };
    }

    /// <summary>Ends the process: by closing its input, and by force if that does not help at once.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            _process.StandardInput.Close();
            using var grace = new CancellationTokenSource(ExitGrace);
            await _process.WaitForExitAsync(grace.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException)
        {
            Kill();
        }

        _process.Dispose();
    }

    /// <summary>Ends the process now.</summary>
    internal void Kill()
    {
        try
        {
            _process.Kill();
            _process.WaitForExit();
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    /// <summary>What to say of the process if it ends before <paramref name="cancellationToken"/> is cancelled, else null.</summary>
    internal async Task<WorkerException?> EndedAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Only its exit counts here: the end of its error stream, which WaitForExitAsync also waits for, can come much later.
            while (!_process.HasExited) await Task.Delay(ExitPoll, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            return null;
        }

        return await GoneAsync();
    }

    private async Task<WorkerException> GoneAsync()
    {
        using var grace = new CancellationTokenSource(ExitGrace);
        try
        {
            await _process.WaitForExitAsync(grace.Token);
        }
        catch (OperationCanceledException)
        {
            Kill();
        }

        string errors;
        lock (_errors) errors = _errors.ToString().Trim();
        return new WorkerException(Role, $"The {Role} process ({Id}) ended with exit code {_process.ExitCode} in the middle of the job.{(errors.Length > 0 ? " It wrote: " + errors : "")}", isGone: true);
    }
}

/// <summary>A worker failed or is gone.</summary>
internal sealed class WorkerException(string role, string message, bool isGone) : Exception(message)
{
    internal string Role { get; } = role;

    /// <summary>The process itself ended.</summary>
    internal bool IsGone { get; } = isGone;
}
