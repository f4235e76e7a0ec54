using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A handoff as the receiver sees it: blocks are reserved, layers land and are verified, and at the end the sequence is the host's,
/// or nothing is.
/// </summary>
/// <remarks>All members are thread-safe. Disposing an uncommitted handoff aborts it; disposing after <see cref="CommittedAsync"/> keeps the sequence.</remarks>
public sealed class IncomingHandoff : IAsyncDisposable
{
    private const byte Empty = 0, Landing = 1, Landed = 2;

    private readonly Lock _gate = new();
    private readonly ReceiverPeer _peer;
    private readonly TaskCompletionSource[] _layers;
    private readonly int[] _granulesLeft;
    private readonly byte[] _granules;
    private readonly TaskCompletionSource _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _offeredAt = PhaseClock.Now;
    private KvSequence? _sequence;
    private HandoffState _state = HandoffState.Initial.After(HandoffEvent.Granted);
    private HandoffException? _failure;
    private HandoffManifest? _manifest;
    private long _lastActivity = Environment.TickCount64;
    private long _completeAt;
    private long _wireBytes, _bytesCopied;
    private uint _digest;
    private int _layersLeft;

    internal IncomingHandoff(ReceiverPeer peer, Offer offer, ulong leaseId, TimeSpan lease, KvSequence sequence, HandoffShape shape, PhaseClock clock)
    {
        _peer = peer;
        _sequence = sequence;
        Id = offer.HandoffId;
        RequestId = offer.RequestId;
        LeaseId = leaseId;
        Lease = lease;
        Deadline = Environment.TickCount64 + offer.DeadlineMilliseconds;
        Shape = shape;
        Clock = clock;
        int layers = shape.Layout.LayerCount;
        _layers = new TaskCompletionSource[layers];
        _granulesLeft = new int[layers];
        _granules = new byte[(long)layers * shape.Granules];
        _layersLeft = layers;
        for (int i = 0; i < layers; i++)
        {
            _layers[i] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _granulesLeft[i] = shape.Granules;
        }

        Use = new OutstandingUse(ReleaseBlocks);
        Target = sequence;
        SlotGenerations = Generations(sequence, shape.Granules);
    }

    /// <summary>Identity that the sender gave the handoff.</summary>
    public Guid Id { get; }

    /// <summary>The host's request id.</summary>
    public string RequestId { get; }

    /// <summary>Tokens that the sequence will have.</summary>
    public int TotalTokens => Shape.TotalTokens;

    /// <summary>Where the handoff stands.</summary>
    public HandoffStatus Status
    {
        get
        {
            lock (_gate) return _state.Status;
        }
    }

    /// <summary>Token ids, position, first token, sampler state and host metadata; available once committed.</summary>
    /// <exception cref="InvalidOperationException">The handoff is not committed.</exception>
    public HandoffManifest Manifest
    {
        get
        {
            lock (_gate)
                return _state.Status == HandoffStatus.Committed ? _manifest! : throw new InvalidOperationException($"Handoff {Id} is {_state.Status}; its manifest is published with the commit.");
        }
    }

    /// <summary>What the handoff cost so far, phases of the receiver only.</summary>
    public HandoffCost Cost => new(Clock.Snapshot())
    {
        KvBytes = Shape.KvBytes,
        WireBytes = Volatile.Read(ref _wireBytes),
        BytesCopied = Volatile.Read(ref _bytesCopied),
        Elapsed = System.Diagnostics.Stopwatch.GetElapsedTime(_offeredAt, _completeAt == 0 ? PhaseClock.Now : _completeAt),
    };

    /// <summary>The sequence while layers land, to read layers that <see cref="LayerAsync"/> has announced. It is not the host's before the commit.</summary>
    public KvSequence Target { get; }

    internal ulong LeaseId { get; }

    internal TimeSpan Lease { get; }

    internal long Deadline { get; }

    internal HandoffShape Shape { get; }

    internal PhaseClock Clock { get; }

    internal OutstandingUse Use { get; }

    internal ReceiverPeer Peer => _peer;

    /// <summary>Generation of the slot that holds each granule's first token, per group: part of the fence.</summary>
    internal ImmutableArray<ImmutableArray<uint>> SlotGenerations { get; }

    /// <summary>Completes when every row of <paramref name="layer"/> has landed and been verified; fails when the handoff does.</summary>
    public Task LayerAsync(int layer, CancellationToken cancellationToken = default)
    {
        if ((uint)layer >= (uint)_layers.Length) throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The model has {_layers.Length} layers.");
        return _layers[layer].Task.WaitAsync(cancellationToken);
    }

    /// <summary>Completes with the sequence, which is then the caller's to dispose.</summary>
    /// <exception cref="HandoffException">The handoff ended without a commit; no block of it is published.</exception>
    /// <exception cref="InvalidOperationException">The sequence was already taken.</exception>
    public async Task<KvSequence> CommittedAsync(CancellationToken cancellationToken = default)
    {
        await _committed.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        return Interlocked.Exchange(ref _sequence, null) ?? throw new InvalidOperationException($"The sequence of handoff {Id} was already taken.");
    }

    /// <summary>Books the time of the host's first decode step, so that the cost shows the whole way to the first token.</summary>
    public void RecordFirstAttend(TimeSpan elapsed) => Clock.Set(HandoffPhase.FirstAttend, elapsed);

    /// <summary>Aborts an uncommitted handoff and completes when its blocks are free; returns a committed sequence that nobody took.</summary>
    public async ValueTask DisposeAsync()
    {
        await _peer.AbortAsync(this, AbortReason.Cancelled, "The receiver gave the handoff up.").ConfigureAwait(false);
        Interlocked.Exchange(ref _sequence, null)?.Dispose();
    }

    /// <summary>Completes when the blocks of an ended handoff are free.</summary>
    internal Task ReleasedAsync() => _released.Task;

    /// <summary>Claims a granule for one frame. False when it has landed, is landing, or the handoff has ended: the frame is dropped.</summary>
    internal bool TryClaim(int layer, int granule)
    {
        if (!Use.TryEnter()) return false;
        if (Interlocked.CompareExchange(ref _granules[(long)layer * Shape.Granules + granule], Landing, Empty) == Empty) return true;
        Use.Exit();
        return false;
    }

    /// <summary>A claimed granule was verified and is immutable from here on.</summary>
    internal void Land(int layer, int granule, long wireBytes, long bytesCopied, uint digest)
    {
        Volatile.Write(ref _granules[(long)layer * Shape.Granules + granule], Landed);
        Interlocked.Add(ref _wireBytes, wireBytes);
        Interlocked.Add(ref _bytesCopied, bytesCopied);
        Interlocked.Add(ref _digest, digest);
        Touch();
        if (Interlocked.Decrement(ref _granulesLeft[layer]) == 0)
        {
            _layers[layer].TrySetResult();
            if (Interlocked.Decrement(ref _layersLeft) == 0) Apply(HandoffEvent.AllLanded);
        }

        Use.Exit();
    }

    /// <summary>A claimed granule did not come through; the caller aborts the handoff.</summary>
    internal void Abandon() => Use.Exit();

    internal void Touch() => Volatile.Write(ref _lastActivity, Environment.TickCount64);

    internal void AcceptManifest(HandoffManifest manifest)
    {
        lock (_gate) _manifest ??= manifest;
        Touch();
        Apply(HandoffEvent.ManifestReceived);
    }

    /// <summary>Why the handoff is overdue at <paramref name="now"/>, or null.</summary>
    internal string? Overdue(long now)
    {
        if (now >= Deadline) return $"The deadline passed with {Volatile.Read(ref _layersLeft)} of {_layers.Length} layers incomplete.";
        long idle = now - Volatile.Read(ref _lastActivity);
        return idle > Lease.TotalMilliseconds ? $"Nothing came for {idle} ms; the lease is {Lease.TotalMilliseconds} ms." : null;
    }

    /// <summary>Applies an event; on the commit it publishes, on a failure it stops further frames. True if this call ended the handoff.</summary>
    internal bool Apply(HandoffEvent happened, HandoffException? failure = null)
    {
        HandoffState after;
        lock (_gate)
        {
            if (_state.IsTerminal) return false;
            if (happened is HandoffEvent.AllLanded or HandoffEvent.ManifestReceived) _completeAt = PhaseClock.Now;
            after = _state = _state.After(happened);
            if (!after.IsTerminal) return false;
            _failure = failure;
            if (after.Status == HandoffStatus.Committed) Target.Advance(Shape.TotalTokens);
        }

        if (after.Status == HandoffStatus.Committed)
        {
            Clock.Add(HandoffPhase.Commit, _completeAt);
            _peer.Ended(this, new Committed(Id, LeaseId, Shape.KvBytes, Volatile.Read(ref _wireBytes), Volatile.Read(ref _bytesCopied), Volatile.Read(ref _digest), [.. Clock.Snapshot()]));
            _committed.TrySetResult();
            return true;
        }

        Use.Close();
        foreach (TaskCompletionSource layer in _layers) Fail(layer, failure!);
        Fail(_committed, failure!);
        return true;
    }

    /// <summary>Text of the failure that ended the handoff, for peers that ask.</summary>
    internal string FailureText
    {
        get
        {
            lock (_gate) return _failure?.Message ?? "";
        }
    }

    private static void Fail(TaskCompletionSource task, HandoffException failure)
    {
        if (task.TrySetException(failure)) _ = task.Task.Exception;
    }

    private static ImmutableArray<ImmutableArray<uint>> Generations(KvSequence sequence, int granules)
    {
        var groups = ImmutableArray.CreateBuilder<ImmutableArray<uint>>(sequence.Cache.Layout.Groups.Length);
        for (int g = 0; g < sequence.Cache.Layout.Groups.Length; g++)
        {
            int blockTokens = sequence.Cache.Layout.Groups[g].BlockTokens;
            var generations = ImmutableArray.CreateBuilder<uint>(granules);
            for (int i = 0; i < granules; i++) generations.Add(sequence.Table(g)[i * KvSegment.GranuleTokens / blockTokens].Generation);
            groups.Add(generations.MoveToImmutable());
        }

        return groups.MoveToImmutable();
    }

    private void ReleaseBlocks()
    {
        Interlocked.Exchange(ref _sequence, null)?.Dispose();
        _released.TrySetResult();
    }
}
