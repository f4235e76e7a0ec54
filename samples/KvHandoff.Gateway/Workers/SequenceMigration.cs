using System.Collections.Concurrent;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Hands sequences away to other decode workers when blocks run out. The client's stream stays here: what the other worker generates is
/// passed on. If that fails, the request comes back and its rows are computed again.
/// </summary>
internal sealed class SequenceMigration(WorkerOptions options, WorkerCache cache, SenderPool senders, WorkerKey? key, string revision, Func<WorkerPeer, IWorker> connect) : IHandAway, IAsyncDisposable
{
    // So long the blocks of a sequence that leaves are missing at most.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5), StatusLimit = TimeSpan.FromMilliseconds(500);

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<Task, byte> _moving = new();
    private readonly CancellationTokenSource _stop = new();
    private Dictionary<WorkerPeer, IWorker> _peers = options.Peers.Where(p => p.Name != options.Name).Distinct().ToDictionary(p => p, connect);
    private int _leaving;
    private long _handedAway;

    /// <summary>Takes a request back.</summary>
    public Action<Generation> Return { get; set; } = _ => { };

    /// <summary>Told when blocks became free.</summary>
    public Action Freed { get; set; } = () => { };

    public int Leaving => Volatile.Read(ref _leaving);

    /// <summary>Sequences that went on at another worker, so far.</summary>
    public long HandedAway => Volatile.Read(ref _handedAway);

    /// <summary>Replaces the workers that sequences may go to.</summary>
    public async Task SetPeersAsync(IReadOnlyList<WorkerPeer> peers)
    {
        Dictionary<WorkerPeer, IWorker> before, next;
        lock (_gate)
        {
            before = _peers;
            next = peers.Where(p => p.Name != options.Name).Distinct().ToDictionary(p => p, p => before.GetValueOrDefault(p) ?? connect(p));
            _peers = next;
        }

        foreach (WorkerPeer gone in before.Keys.Except(next.Keys)) await DisposeAsync(before[gone]);
    }

    public bool TryTake(Generation generation)
    {
        if (_peers.Count == 0 || _stop.IsCancellationRequested) return false;
        generation.IsAway = true;
        Interlocked.Increment(ref _leaving);
        Task moving = Task.Run(() => MoveAsync(generation));
        _moving.TryAdd(moving, 0);
        _ = moving.ContinueWith(t => _moving.TryRemove(t, out _), TaskScheduler.Default);
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_moving.Keys);
        foreach (IWorker worker in _peers.Values) await DisposeAsync(worker);
    }

    private async Task MoveAsync(Generation generation)
    {
        bool isLeaving = true;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(generation.Cancelled, _stop.Token);
        WorkerException? failure = null;
        try
        {
            if (await ChooseAsync(generation, either.Token) is var (peer, status))
            {
                await using IAsyncEnumerator<DecodeEvent> events = await SendAsync(generation, peer, status, either.Token);
                isLeaving = false;
                Free(generation);
                Interlocked.Increment(ref _handedAway);
                while (await events.MoveNextAsync()) Pass(generation, events.Current);
            }
        }
        catch (Exception e) when (e is WorkerException or HandoffException or OperationCanceledException or ObjectDisposedException or ArgumentException)
        {
            // Whatever it was, the tokens are here: it goes on in this worker.
        }
        catch (Exception e)
        {
            failure = new WorkerException(WorkerFailure.Internal, options.Name, $"handing a sequence away failed with {e.GetType().Name}: {e.Message}", e);
        }

        if (isLeaving) Free(generation);
        if (generation.IsEnded || generation.IsCancelled)
        {
            generation.MarkFreed();
        }
        else if (failure is not null || _stop.IsCancellationRequested)
        {
            generation.Fail(failure ?? new WorkerException(WorkerFailure.Lost, options.Name, "it shuts down."));
            generation.MarkFreed();
        }
        else
        {
            generation.IsAway = false;
            Return(generation);
        }
    }

    private void Free(Generation generation)
    {
        if (generation.Sequence is { } sequence) cache.End(sequence);
        generation.Sequence = null;
        Interlocked.Decrement(ref _leaving);
        Freed();
    }

    // The one with the most room, of those that have enough for what is known and a block more.
    private async Task<(IWorker Peer, WorkerStatus Status)?> ChooseAsync(Generation generation, CancellationToken cancellationToken)
    {
        int needed = generation.KnownTokens + cache.Cache.Layout.Groups[0].BlockTokens;
        IWorker[] peers = [.. _peers.Values];
        WorkerStatus?[] statuses = await Task.WhenAll(peers.Select(p => StatusAsync(p, cancellationToken)));
        int best = -1;
        for (int i = 0; i < statuses.Length; i++)
        {
            if (statuses[i] is not { HandoffEndpoint: not null } status || !status.Phases.HasFlag(Phase.Decode) || status.ModelRevision != revision || status.FreeTokens < needed) continue;
            if (generation.Prompt.Length + generation.MaxTokens > status.CacheTokens) continue;
            if (best < 0 || status.FreeTokens > statuses[best]!.FreeTokens) best = i;
        }

        return best < 0 ? null : (peers[best], statuses[best]!);
    }

    private static async Task<WorkerStatus?> StatusAsync(IWorker peer, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StatusLimit);
        try
        {
            return await peer.StatusAsync(limit.Token);
        }
        catch (Exception e) when (e is WorkerException or OperationCanceledException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Hands the sequence over, and gives what the other worker says of it, its first event taken.</summary>
    private async Task<IAsyncEnumerator<DecodeEvent>> SendAsync(Generation generation, IWorker peer, WorkerStatus status, CancellationToken cancellationToken)
    {
        KvSequence sequence = generation.Sequence!;
        Guid id = Guid.NewGuid();
        int tokens = sequence.Tokens;
        var offer = new HandoffOffer
        {
            HandoffId = id,
            TotalTokens = tokens,
            Deadline = Deadline,
            RequestId = generation.RequestId,
            Priority = (byte)Math.Clamp(generation.Priority, 0, 255),
            // Of the prompt only: rows of generated tokens are not what a prefill of them would be.
            PrefixHashes = WorkerCache.Encode(generation.Hashes),
            Ticket = key is null ? default : HandoffTicket.Issue(key.Ring, new TicketClaims { Audience = status.Name, Sender = options.Name, HandoffId = id, MaxKvBytes = (tokens + 64L) * cache.BytesPerToken }).Encoded,
        };
        (SenderPool.Use use, OutgoingHandoff outgoing) = await PatientOffer.OfferAsync(senders, status.HandoffEndpoint!, sequence, offer, cancellationToken);
        using SenderPool.Use returned = use;
        await using OutgoingHandoff ended = outgoing;
        IAsyncEnumerator<DecodeEvent> events = peer.DecodeAsync(new DecodeRequest
        {
            RequestId = generation.RequestId,
            HandoffId = id,
            MaxTokens = generation.MaxTokens,
            Stop = generation.StopTokens,
            Sampling = generation.Sampling,
            Priority = generation.Priority,
            DeadlineMilliseconds = (int)Deadline.TotalMilliseconds,
        }, cancellationToken).GetAsyncEnumerator(cancellationToken);
        Task<bool> first = events.MoveNextAsync().AsTask();
        try
        {
            for (int layer = 0; layer < cache.Cache.Layout.LayerCount; layer++) outgoing.Publish(layer, tokens);
            await outgoing.CommitAsync(new SequenceState(generation.Prompt, generation.Completion.ToArray(), generation.Told).ToManifest(), cancellationToken);
            if (await first) Pass(generation, events.Current);
            return events;
        }
        catch
        {
            await first.ContinueWith(t => t.Exception, TaskScheduler.Default);
            await events.DisposeAsync();
            throw;
        }
    }

    private static void Pass(Generation generation, DecodeEvent told)
    {
        switch (told)
        {
            case DecodeStarted: generation.Join(); generation.Begin(); break;
            case DecodeTokens tokens: generation.Relay(tokens); break;
            case DecodeFinished finished: generation.RelayFinish(finished); break;
        }
    }

    private static async ValueTask DisposeAsync(IWorker worker)
    {
        if (worker is IAsyncDisposable disposable) await disposable.DisposeAsync();
    }
}
