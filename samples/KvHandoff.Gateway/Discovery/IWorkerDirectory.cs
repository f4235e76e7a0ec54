using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Discovery;

/// <summary>Where the gateway learns of its workers. Disposing stops learning; the workers stay in the pool.</summary>
internal interface IWorkerDirectory : IAsyncDisposable
{
    /// <summary>Fills the pool, and keeps it up to date in the background.</summary>
    Task StartAsync(WorkerPool pool, CancellationToken cancellationToken);
}
