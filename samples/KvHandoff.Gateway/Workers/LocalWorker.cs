using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>A worker in this process: the stages of its phases over one cache.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class LocalWorker : IWorker, IAsyncDisposable
{
    private readonly WorkerOptions _options;
    private readonly LlamaModel _model;
    private readonly SenderPool _senders;
    private readonly PrefillWorker? _prefill;
    private readonly DecodeWorker? _decode;
    private readonly SequenceMigration? _migration;
    private int _disposed;

    private LocalWorker(WorkerOptions options, LlamaModel model, WorkerCache cache, SenderPool senders, PrefillWorker? prefill, DecodeWorker? decode, SequenceMigration? migration)
    {
        (_options, _model, Cache, _senders, _prefill, _decode, _migration) = (options, model, cache, senders, prefill, decode, migration);
    }

    public string Name => _options.Name;

    /// <summary>Where its receiver listens; null for one that only prefills.</summary>
    public string? HandoffEndpoint => _decode?.Endpoint;

    /// <summary>Its cache.</summary>
    public WorkerCache Cache { get; }

    /// <summary>Sequences that went on at another worker.</summary>
    public long HandedAway => _migration?.HandedAway ?? 0;

    /// <summary>Bytes that its receiver's data connections delivered.</summary>
    public long DataBytesReceived => _decode?.DataBytesReceived ?? 0;

    /// <summary>Starts the phases of the options.</summary>
    /// <param name="options">What it is.</param>
    /// <param name="model">Outlives the worker.</param>
    /// <param name="key">Signs tickets; null: it accepts offers without one.</param>
    /// <param name="connect">Makes the callers of peers; null: over HTTP.</param>
    public static async Task<LocalWorker> StartAsync(WorkerOptions options, LlamaModel model, WorkerKey? key, Func<WorkerPeer, IWorker>? connect = null)
    {
        options.Validate();
        var stages = new StageMap(options.Phases, options.Pool);
        bool decodes = options.Phases.HasFlag(Phase.Decode);
        var cache = new WorkerCache(model, options.CacheTokens, decodes && HandoffAddress.IsShared(options));
        var senders = new SenderPool(options, cache.Cache);
        SequenceMigration? migration = decodes ? new SequenceMigration(options, cache, senders, key, model.Identity.Revision, connect ?? (p => new HttpWorker(p.Name, p.Address, key))) : null;
        try
        {
            DecodeWorker? decode = decodes ? await DecodeWorker.StartAsync(options, model, cache, stages, migration!, key) : null;
            PrefillWorker? prefill = options.Phases.HasFlag(Phase.Prefill) ? new PrefillWorker(options, model, cache, stages, senders) : null;
            return new LocalWorker(options, model, cache, senders, prefill, decode, migration);
        }
        catch
        {
            cache.Dispose();
            throw;
        }
    }

    public Task<WorkerStatus> StatusAsync(CancellationToken cancellationToken) => Task.FromResult(new WorkerStatus
    {
        Name = Name,
        Phases = _options.Phases,
        Pool = _options.Pool,
        Model = _model.Config.Name,
        ModelRevision = _model.Identity.Revision,
        HandoffEndpoint = HandoffEndpoint,
        ContextTokens = _model.Config.MaxPositions,
        KvBytesPerToken = Cache.BytesPerToken,
        CacheTokens = Cache.CacheTokens,
        FreeTokens = Cache.FreeTokens,
        Running = (_prefill?.Loop.Running ?? 0) + (_decode?.Loop.Running ?? 0),
        Waiting = (_prefill?.Loop.Waiting ?? 0) + (_decode?.Waiting ?? 0),
        Preemptions = _decode?.Loop.Preemptions ?? 0,
        ReusedTokens = (_prefill?.Loop.ReusedTokens ?? 0) + (_decode?.ReusedTokens ?? 0),
    });

    public Task<PrefillResult> PrefillAsync(PrefillRequest request, CancellationToken cancellationToken) =>
        _prefill?.PrefillAsync(request, cancellationToken) ?? throw Absent(Phase.Prefill);

    public IAsyncEnumerable<DecodeEvent> DecodeAsync(DecodeRequest request, CancellationToken cancellationToken) =>
        _decode?.DecodeAsync(request, cancellationToken) ?? throw Absent(Phase.Decode);

    public IAsyncEnumerable<DecodeEvent> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken) =>
        _options.Phases == Phase.Both ? _decode!.GenerateAsync(request, cancellationToken) : throw Absent(Phase.Both);

    public Task SetPeersAsync(IReadOnlyList<WorkerPeer> peers, CancellationToken cancellationToken) =>
        _migration?.SetPeersAsync(peers) ?? Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _prefill?.Dispose();
        if (_decode is not null) await _decode.DisposeAsync();
        await _senders.DisposeAsync();
        Cache.Dispose();
    }

    private WorkerException Absent(Phase phase) => new(WorkerFailure.Invalid, Name, $"it runs {_options.Phases}; the request needs {phase}.");
}
