using System.Runtime.CompilerServices;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Takes handoffs into its cache and generates from them, many at once; with the phase for it, from prompts that it computes itself as well.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class DecodeWorker : IAsyncDisposable
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromMilliseconds(10), RetryOffers = TimeSpan.FromMilliseconds(20);

    private readonly WorkerOptions _options;
    private readonly LlamaModel _model;
    private readonly WorkerCache _cache;
    private readonly RequestChecks _checks;
    private readonly KvReceiver _receiver;
    private readonly TokenLoop _loop;
    private readonly LandingTable _landings;
    private readonly SequenceMigration _migration;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _receiving, _sweeping;
    private long _landedReuse;

    private DecodeWorker(WorkerOptions options, LlamaModel model, WorkerCache cache, StageMap stages, KvReceiver receiver, SequenceMigration migration)
    {
        _options = options;
        _model = model;
        _cache = cache;
        _checks = new RequestChecks(options.Name, model, cache.CacheTokens);
        _receiver = receiver;
        _landings = new LandingTable(options.Name, options.UnclaimedLifetime);
        _migration = migration;
        _loop = new TokenLoop(options, cache, stages, model) { HandAway = migration };
        migration.Return = _loop.Add;
        migration.Freed = _loop.Wake;
        _receiving = ReceiveAsync();
        _sweeping = SweepAsync();
    }

    /// <summary>Where its receiver listens.</summary>
    public string Endpoint => _receiver.Endpoint;

    /// <summary>Its batch.</summary>
    public TokenLoop Loop => _loop;

    /// <summary>Requests that wait: for their handoff, for a place or for blocks.</summary>
    public int Waiting => _landings.Waiting + _loop.Waiting;

    /// <summary>Prompt tokens that were in the cache, so far.</summary>
    public long ReusedTokens => _loop.ReusedTokens + Interlocked.Read(ref _landedReuse);

    /// <summary>Bytes that came over data connections, so far.</summary>
    public long DataBytesReceived => _receiver.DataBytesReceived;

    /// <summary>Starts its receiver and its batch.</summary>
    /// <param name="options">Name, batch, and where the receiver listens.</param>
    /// <param name="model">Outlives the worker.</param>
    /// <param name="cache">Outlives the worker.</param>
    /// <param name="stages">What it runs.</param>
    /// <param name="migration">Where sequences go when blocks run out; disposed with the worker.</param>
    /// <param name="key">Signs the tickets that it accepts; null: it accepts offers without one.</param>
    public static async Task<DecodeWorker> StartAsync(WorkerOptions options, LlamaModel model, WorkerCache cache, StageMap stages, SequenceMigration migration, WorkerKey? key)
    {
        DecodeWorker? worker = null;
        var receiverOptions = new KvReceiverOptions
        {
            Name = options.Name,
            Tickets = key is null ? null : new TicketVerifier(options.Name, key.Ring),
            PrefixIndex = cache.Prefixes,
            Transport = new TransportOptions { AllowRemotePlaintext = options.AllowPlaintext },
            Admission = request => worker?.Admit(request) ?? AdmissionVerdict.Refuse("The worker starts.", RetryOffers),
        };
        KvReceiver receiver = await KvReceiver.ListenAsync(HandoffAddress.For(options), cache.Cache, receiverOptions);
        return worker = new DecodeWorker(options, model, cache, stages, receiver, migration);
    }

    /// <summary>Waits for the handoff and generates from it.</summary>
    public async IAsyncEnumerable<DecodeEvent> DecodeAsync(DecodeRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        _checks.Check(request);
        RequirePlace();
        LandedHandoff landed = await _landings.ClaimAsync(request.HandoffId, TimeSpan.FromMilliseconds(request.DeadlineMilliseconds), cancellationToken);
        Generation generation;
        try
        {
            _checks.Fit(landed.State.Prompt.Length, request.MaxTokens);
            generation = Continue(request, landed);
        }
        catch
        {
            landed.Drop();
            throw;
        }

        await foreach (DecodeEvent told in RunAsync(generation, cancellationToken)) yield return told;
    }

    /// <summary>Computes a prompt and generates, without a handoff.</summary>
    public IAsyncEnumerable<DecodeEvent> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken)
    {
        _checks.Check(request);
        RequirePlace();
        return RunAsync(new Generation
        {
            RequestId = request.RequestId,
            Prompt = request.Prompt,
            MaxTokens = request.MaxTokens,
            Sampling = request.Sampling,
            StopTokens = request.Stop,
            Stops = new StopSequences(request.Stop, _model.Config.EndTokens),
            Priority = request.Priority,
            Hashes = _cache.HashesOf(request.Prompt),
        }, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _receiver.DisposeAsync();
        await _receiving;
        await _sweeping;
        await _landings.DisposeAsync();
        await _migration.DisposeAsync();
        _loop.Dispose();
        _stop.Dispose();
    }

    private void RequirePlace()
    {
        if (Waiting >= WorkerWire.MaxWaiting) throw new WorkerException(WorkerFailure.Busy, _options.Name, $"{Waiting} requests wait; allowed: {WorkerWire.MaxWaiting}.");
    }

    private Generation Continue(DecodeRequest request, LandedHandoff landed)
    {
        SequenceState state = landed.State;
        bool isGuest = state.Completion.Length > 1;
        var generation = new Generation
        {
            RequestId = request.RequestId,
            Prompt = state.Prompt,
            MaxTokens = request.MaxTokens,
            Sampling = request.Sampling,
            StopTokens = request.Stop,
            Stops = new StopSequences(request.Stop, _model.Config.EndTokens),
            Priority = request.Priority,
            Hashes = _cache.HashesOf(state.Prompt),
            Sequence = landed.Sequence,
            CachedTokens = landed.Incoming.ReusedTokens,
            IsGuest = isGuest,
            FirstStep = landed.Incoming.RecordFirstAttend,
        };
        generation.Seed(state.Completion, state.Told);
        _cache.Remember(landed.Sequence, generation.Hashes);
        Interlocked.Add(ref _landedReuse, landed.Incoming.ReusedTokens);
        return generation;
    }

    private async IAsyncEnumerable<DecodeEvent> RunAsync(Generation generation, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        _loop.Add(generation);
        try
        {
            await foreach (DecodeEvent told in generation.Events.ReadAllAsync(cancellationToken)) yield return told;
        }
        finally
        {
            generation.Cancel();
            _loop.Wake();
            await generation.Freed;
        }
    }

    // Called under the receiver's lock, with the blocks of the offer taken already.
    private AdmissionVerdict Admit(AdmissionRequest request)
    {
        if (_stop.IsCancellationRequested) return AdmissionVerdict.Refuse("The worker shuts down.");
        if (_loop.WithoutBlocks > 0) return AdmissionVerdict.Refuse("Requests that made room wait for blocks.", RetryOffers);
        // Each sequence that runs may need a block before long: what is handed to a newcomer now would be taken from it again at once.
        int block = _cache.Cache.Layout.Groups[0].BlockTokens;
        int headroom = Math.Min(_loop.Running, (int)(_cache.CacheTokens / block / 8));
        return headroom == 0 || _cache.Prefixes.EvictUntil(headroom) ? AdmissionVerdict.Admit : AdmissionVerdict.Refuse("The free blocks are for what runs here.", RetryOffers);
    }

    private async Task ReceiveAsync()
    {
        await foreach (IncomingHandoff incoming in _receiver.IncomingAsync()) _ = LandAsync(incoming);
    }

    private async Task LandAsync(IncomingHandoff incoming)
    {
        await using IncomingHandoff disposal = incoming;
        if (!_landings.Expect(incoming.Id, () => _ = incoming.DisposeAsync().AsTask())) return;
        KvSequence? sequence = null;
        try
        {
            sequence = await incoming.CommittedAsync();
            _cache.Adopt(sequence);
            SequenceState state = SequenceState.Read(incoming.Manifest, _model.Config.VocabularySize, out string? error) ?? throw new WorkerException(WorkerFailure.Handoff, _options.Name, error!);
            _landings.Land(incoming.Id, new LandedHandoff(_cache, sequence, state, incoming));
        }
        catch (Exception e) when (e is HandoffException or WorkerException or InvalidOperationException)
        {
            if (sequence is not null) _cache.End(sequence);
            _landings.Fail(incoming.Id, e as WorkerException ?? new WorkerException(WorkerFailure.Handoff, _options.Name, e.Message, e));
        }
    }

    // Offers wait for room that only forgetting makes, and the receiver does not forget by itself.
    private async Task SweepAsync()
    {
        using var timer = new PeriodicTimer(SweepInterval);
        while (await timer.WaitForNextTickAsync(_stop.Token).AsTask().ContinueWith(t => t.IsCompletedSuccessfully && t.Result, TaskScheduler.Default))
        {
            _landings.Sweep();
            if (_receiver.WaitingOffers > 0) _cache.Prefixes.EvictUntil(Math.Min(_cache.Cache.Pools[0].FreeSlots + 32, _cache.Cache.Pools[0].Capacity));
        }
    }
}
