namespace KvHandoff.Gateway.Contracts;

/// <summary>
/// A worker as the gateway sees it, wherever it runs. Calls may come from any thread, many at once. A cancelled call frees what it held at
/// the worker. Failures are <see cref="WorkerException"/>.
/// </summary>
internal interface IWorker
{
    /// <summary>Name of the worker, unique in its directory; the audience and the sender of tickets.</summary>
    string Name { get; }

    /// <summary>What it does and how full it is, now.</summary>
    Task<WorkerStatus> StatusAsync(CancellationToken cancellationToken);

    /// <summary>Prefills a prompt and hands the cache over; completes when the receiver has committed.</summary>
    Task<PrefillResult> PrefillAsync(PrefillRequest request, CancellationToken cancellationToken);

    /// <summary>Waits for the handoff and generates from it. The first event is a <see cref="DecodeStarted"/>, the last a <see cref="DecodeFinished"/>.</summary>
    IAsyncEnumerable<DecodeEvent> DecodeAsync(DecodeRequest request, CancellationToken cancellationToken);

    /// <summary>Prefills and generates in the same worker: the route without a handoff. Events as of <see cref="DecodeAsync"/>.</summary>
    IAsyncEnumerable<DecodeEvent> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken);

    /// <summary>Says which decode workers this one may hand sequences away to when its blocks run out; replaces what was said before.</summary>
    Task SetPeersAsync(IReadOnlyList<WorkerPeer> peers, CancellationToken cancellationToken) => Task.CompletedTask;
}
