using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Discovery;

/// <summary>The static directory of workers that somebody else started: control addresses, whose names the workers say themselves.</summary>
internal sealed class ListedWorkers(IReadOnlyList<string> addresses, Func<string, string, IWorker> connect, Action<string> note) : IWorkerDirectory
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5), Pause = TimeSpan.FromMilliseconds(500);

    private readonly CancellationTokenSource _ended = new();
    private Task _asking = Task.CompletedTask;

    public Task StartAsync(WorkerPool pool, CancellationToken cancellationToken)
    {
        _asking = Task.WhenAll(addresses.Select(address => AskAsync(address, pool)));
        return Task.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _asking;
        _ended.Dispose();
    }

    // Until it answers once; from then on the pool watches it.
    private async Task AskAsync(string address, WorkerPool pool)
    {
        string said = "";
        while (!_ended.IsCancellationRequested)
        {
            IWorker unnamed = connect(address, address);
            try
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
                patience.CancelAfter(Patience);
                WorkerStatus status = await unnamed.StatusAsync(patience.Token);
                pool.Add(connect(status.Name, address), address);
                note($"worker {status.Name} ({status.Phases.ToString().ToLowerInvariant()}) at {address}");
                return;
            }
            catch (Exception e) when (e is WorkerException or OperationCanceledException or IOException or HttpRequestException)
            {
                if (!_ended.IsCancellationRequested && e.Message != said) note($"worker at {address} does not answer yet: {said = e.Message}");
            }
            finally
            {
                if (unnamed is IAsyncDisposable disposable) await disposable.DisposeAsync();
            }

            await Task.Delay(Pause, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
