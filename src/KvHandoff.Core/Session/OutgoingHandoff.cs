using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A handoff as the sender sees it. Publish layers as prefill produces them, in any order; commit when all are published.
/// </summary>
/// <remarks>
/// <see cref="Publish"/> never blocks and may be called from the thread that computes. Disposing before the commit aborts; when
/// disposal or a failed commit completes, no thread reads the sequence's blocks any more.
/// </remarks>
public sealed class OutgoingHandoff : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly KvSender _sender;
    private readonly int[] _publishedGranules;
    private readonly TaskCompletionSource<Committed> _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Grant> _granted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _offeredAt = PhaseClock.Now;
    private readonly long _deadline;
    private readonly SlotHandle[][] _held;
    private readonly SlotHandle?[] _heldTails;
    private HandoffState _state = HandoffState.Initial;
    private Grant? _grant;
    private long _wireBytes, _bytesCopied, _renewedAt = Environment.TickCount64;
    private uint _digest;

    internal OutgoingHandoff(KvSender sender, KvSequence sequence, HandoffOffer offer, HandoffShape shape)
    {
        _sender = sender;
        Sequence = sequence;
        Id = offer.HandoffId;
        Shape = shape;
        Deadline = offer.Deadline;
        _deadline = Environment.TickCount64 + (long)offer.Deadline.TotalMilliseconds;
        _publishedGranules = new int[shape.Layout.LayerCount];
        Use = new OutstandingUse(ReleaseBlocks);
        _heldTails = new SlotHandle?[shape.Layout.Groups.Length];
        _held = HoldBlocks();
    }

    /// <summary>Identity of the handoff; the receiver can be asked about it by this id.</summary>
    public Guid Id { get; }

    /// <summary>Tokens that every layer must have published before the commit.</summary>
    public int TotalTokens => Shape.TotalTokens;

    /// <summary>Where the handoff stands on this side.</summary>
    public HandoffStatus Status
    {
        get
        {
            lock (_gate) return _state.Status;
        }
    }

    internal KvSequence Sequence { get; }

    internal HandoffShape Shape { get; }

    internal TimeSpan Deadline { get; }

    internal PhaseClock Clock { get; } = new();

    internal OutstandingUse Use { get; }

    internal ulong LeaseId => _grant!.LeaseId;

    internal ImmutableArray<ImmutableArray<uint>> SlotGenerations => _grant!.SlotGenerations;

    internal Task<Grant> GrantedAsync => _granted.Task;

    /// <summary>
    /// Says that the rows of tokens 0 .. <paramref name="tokens"/> - 1 of <paramref name="layer"/> are final. Whole granules of 64 tokens
    /// are sent at once; a ragged last one when <paramref name="tokens"/> reaches <see cref="TotalTokens"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">No such layer, or more tokens than offered.</exception>
    /// <remarks>After the handoff ended this does nothing: <see cref="CommitAsync"/> tells how it ended.</remarks>
    public void Publish(int layer, int tokens)
    {
        if ((uint)layer >= (uint)_publishedGranules.Length) throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The model has {_publishedGranules.Length} layers.");
        if (tokens < 0 || tokens > TotalTokens) throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"The offer is for {TotalTokens} tokens.");
        int ready = tokens == TotalTokens ? Shape.Granules : tokens / KvSegment.GranuleTokens;
        int from = _publishedGranules[layer];
        if (ready <= from) return;
        _publishedGranules[layer] = ready;
        long now = PhaseClock.Now;
        for (int granule = from; granule < ready; granule++) _sender.Queue.Add(new SendJob(this, layer, granule, now));
        _sender.Queue.Announce(ready - from);
    }

    /// <summary>
    /// Sends the manifest and completes with the receiver's verdict. The blocks are reusable from then on, also when it throws.
    /// </summary>
    /// <exception cref="InvalidOperationException">A layer is not completely published, or the manifest is for another number of tokens.</exception>
    /// <exception cref="HandoffException">The handoff ended otherwise; for <see cref="HandoffFailure.Expired"/> the outcome at the receiver is unknown.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the receiver publishes nothing unless it had already committed.</exception>
    public async Task<HandoffCost> CommitAsync(HandoffManifest manifest, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        manifest.Validate();
        if (manifest.Position != TotalTokens) throw new InvalidOperationException($"The manifest is for {manifest.Position} tokens; {TotalTokens} were offered.");
        for (int layer = 0; layer < _publishedGranules.Length; layer++)
        {
            if (_publishedGranules[layer] != Shape.Granules)
                throw new InvalidOperationException($"Layer {layer} has published {_publishedGranules[layer]} of {Shape.Granules} granules.");
        }

        try
        {
            await _sender.SendAsync(new Finish(Id, LeaseId, manifest)).ConfigureAwait(false);
            Committed verdict = await _verdict.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            Use.Close();
            await _released.Task.ConfigureAwait(false);
            if (verdict.Digest != _digest)
                throw new HandoffException(HandoffFailure.Corrupt, $"The receiver's digest is {verdict.Digest:x8}; this side sent {_digest:x8}.");
            return Cost(verdict);
        }
        catch (OperationCanceledException)
        {
            await EndAsync(HandoffEvent.Failed, new HandoffException(HandoffFailure.Aborted, $"Handoff {Id} was cancelled."), AbortReason.Cancelled).ConfigureAwait(false);
            throw;
        }
        catch (HandoffException)
        {
            await _released.Task.ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Aborts if the handoff is still open, and completes when no thread reads its blocks any more.</summary>
    public async ValueTask DisposeAsync()
    {
        await EndAsync(HandoffEvent.Failed, new HandoffException(HandoffFailure.Aborted, $"Handoff {Id} was given up by the sender."), AbortReason.Cancelled).ConfigureAwait(false);
        Use.Close();
        await _released.Task.ConfigureAwait(false);
        _sender.Forget(this);
    }

    internal void OnGrant(Grant grant)
    {
        lock (_gate)
        {
            if (_state.Status != HandoffStatus.Offered) return;
            if (grant.SlotGenerations.Length != Shape.Layout.Groups.Length || grant.SlotGenerations.Any(g => g.Length != Shape.Granules))
            {
                _granted.TrySetException(new HandoffException(HandoffFailure.ProtocolMismatch,
                    $"The grant has {string.Join('/', grant.SlotGenerations.Select(g => g.Length))} slot generations; {Shape.Granules} in each of {Shape.Layout.Groups.Length} groups were expected."));
                return;
            }

            _grant = grant;
            _state = _state.After(HandoffEvent.Granted);
        }

        _granted.TrySetResult(grant);
    }

    internal void OnCommitted(Committed verdict)
    {
        lock (_gate) _state = _state.After(HandoffEvent.VerdictCommitted);
        if (Status == HandoffStatus.Committed) _verdict.TrySetResult(verdict);
    }

    /// <summary>Ends the handoff on this side; true if it was this call that did.</summary>
    internal bool End(HandoffEvent happened, HandoffException failure)
    {
        lock (_gate)
        {
            if (_state.IsTerminal) return false;
            _state = _state.After(happened);
        }

        Use.Close();
        if (_granted.TrySetException(failure)) _ = _granted.Task.Exception;
        if (_verdict.TrySetException(failure)) _ = _verdict.Task.Exception;
        return true;
    }

    /// <summary>Ends it, tells the receiver, and completes when the blocks are reusable.</summary>
    internal async Task EndAsync(HandoffEvent happened, HandoffException failure, AbortReason reason)
    {
        if (!End(happened, failure)) return;
        await _sender.SendAsync(new Abort(Id, _grant?.LeaseId ?? 0, reason, failure.Message)).ConfigureAwait(false);
        await _released.Task.ConfigureAwait(false);
    }

    /// <summary>Called a few times a second: renews the lease in time and ends the handoff at its deadline.</summary>
    internal void Tick(long now)
    {
        if (now >= _deadline)
        {
            _ = EndAsync(HandoffEvent.TimedOut, new HandoffException(HandoffFailure.Expired,
                $"Handoff {Id} was not committed within {Deadline.TotalMilliseconds} ms; its outcome at the receiver is unknown and can be queried."), AbortReason.Expired);
            // A stream that is stuck in a send holds the blocks; only the end of its connection frees them.
            if (Use.Count > 0) _sender.Disconnect($"A send did not finish within the deadline of handoff {Id}.");
            return;
        }

        Grant? grant = _grant;
        if (grant is null || now - _renewedAt < grant.LeaseMilliseconds / 3) return;
        _renewedAt = now;
        _ = _sender.SendAsync(new Renew(Id, grant.LeaseId, grant.LeaseMilliseconds)).AsTask();
    }

    internal void FrameSent(long wireBytes, long bytesCopied, uint digest)
    {
        Interlocked.Add(ref _wireBytes, wireBytes);
        Interlocked.Add(ref _bytesCopied, bytesCopied);
        Interlocked.Add(ref _digest, digest);
    }

    private HandoffCost Cost(Committed verdict)
    {
        long[] phases = Clock.Snapshot();
        for (int i = 0; i < Math.Min(phases.Length, verdict.PhaseNanoseconds.Length); i++) phases[i] += verdict.PhaseNanoseconds[i];
        return new HandoffCost(phases)
        {
            KvBytes = Shape.KvBytes,
            WireBytes = Volatile.Read(ref _wireBytes),
            BytesCopied = Volatile.Read(ref _bytesCopied) + verdict.BytesCopied,
            Elapsed = Stopwatch.GetElapsedTime(_offeredAt),
        };
    }

    private SlotHandle[][] HoldBlocks()
    {
        var held = new SlotHandle[Shape.Layout.Groups.Length][];
        for (int g = 0; g < held.Length; g++)
        {
            held[g] = Sequence.Table(g).Slots.ToArray();
            foreach (SlotHandle slot in held[g]) Sequence.Cache.Pools[g].AddReference(slot);
            if (!Sequence.TryGetTail(g, out SlotHandle tail)) continue;
            Sequence.Cache.TailPools[g]!.AddReference(tail);
            _heldTails[g] = tail;
        }

        return held;
    }

    private void ReleaseBlocks()
    {
        for (int g = 0; g < _held.Length; g++)
        {
            foreach (SlotHandle slot in _held[g]) Sequence.Cache.Pools[g].Release(slot);
            if (_heldTails[g] is { } tail) Sequence.Cache.TailPools[g]!.Release(tail);
        }

        _released.TrySetResult();
    }
}
