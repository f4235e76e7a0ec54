using System.Runtime.InteropServices;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Model;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Gateway.Workers;

/// <summary>What a worker process writes on its standard output when it can be asked.</summary>
/// <param name="Name">Name of the worker.</param>
/// <param name="Phases">Phases that it runs.</param>
/// <param name="Address">Its control address, with the port that it got.</param>
/// <param name="Handoff">Where its receiver listens; null for one that only prefills.</param>
internal sealed record WorkerReady(string Name, Phase Phases, string Address, string? Handoff);

/// <summary>A worker process: starts, says on standard output where it is, and ends with its standard input or on a signal.</summary>
internal static class WorkerHost
{
    /// <summary>Runs until the parent is gone, a signal comes or <paramref name="cancellationToken"/> is cancelled.</summary>
    /// <param name="options">What it is.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <param name="announce">Told as well when it can be asked; null: nobody.</param>
    /// <returns>The exit code: 0; 2 when it could not start, with one line on standard error.</returns>
    public static async Task<int> RunAsync(WorkerOptions options, CancellationToken cancellationToken, Action<WorkerReady>? announce = null)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        // An interrupt from the terminal reaches the whole group; the parent decides what it means, and closes this process's input.
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            stop.Cancel();
        });
        try
        {
            options.Validate();
            WorkerKey? key = WorkerKey.FromEnvironment(options.KeyVariable);
            using LlamaModel model = LlamaModel.Load(options.ModelDirectory);
            await using LocalWorker worker = await LocalWorker.StartAsync(options, model, key);
            await using WorkerServer server = await WorkerServer.StartAsync(worker, options.ControlAddress, key, options.AllowPlaintext);
            var ready = new WorkerReady(options.Name, options.Phases, server.Address, worker.HandoffEndpoint);
            await Console.Out.WriteLineAsync(JsonSerializer.Serialize(ready, WorkerWire.Json).AsMemory(), stop.Token);
            await Console.Out.FlushAsync(stop.Token);
            announce?.Invoke(ready);
            await EndAsync(stop.Token);
            return 0;
        }
        catch (Exception e) when (e is ArgumentException or CheckpointException or TransportException or HandoffException or IOException or Stages.StageException)
        {
            await Console.Error.WriteLineAsync($"Worker {options.Name} cannot start: {e.Message}");
            return 2;
        }
    }

    private static async Task EndAsync(CancellationToken cancellationToken)
    {
        using Stream input = Console.OpenStandardInput();
        var sink = new byte[256];
        // A read of a terminal or pipe is not cancelled everywhere: it is left alone then.
        Task ended = Task.Run(async () =>
        {
            while (await input.ReadAsync(sink, CancellationToken.None) > 0)
            {
            }
        }, CancellationToken.None);
        await Task.WhenAny(ended, Task.Delay(Timeout.Infinite, cancellationToken));
    }
}
