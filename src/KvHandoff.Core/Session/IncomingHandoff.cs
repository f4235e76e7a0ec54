using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A handoff as the receiver sees it: blocks are reserved, layers land and are verified, and at the end the sequence is the host's,
/// or nothing is.
/// </summary>
/// <remarks>All members are thread-safe. Disposing an uncommitted handoff aborts it; disposing after <see cref="CommittedAsync"/> keeps the sequence.</remarks>
public sealed partial class IncomingHandoff : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly KvReceiver _receiver;
    private readonly IncomingPart?[] _parts;
    private readonly TaskCompletionSource[] _layers;
    private readonly int[] _framesLeft;
    private readonly TaskCompletionSource _allLanded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _offeredAt = PhaseClock.Now;
    private KvSequence? _sequence;
    private HandoffState _state;
    private HandoffException? _failure;
    private HandoffManifest? _manifest;
    private long _completeAt;
    private long _wireBytes, _bytesCopied;
    private int _layersLeft;

    /// <param name="receiver">Where it lands.</param>
    /// <param name="offer">The first offer of it.</param>
    /// <param name="group">The group, or null.</param>
    /// <param name="sequence">Blocks for all of this receiver's share.</param>
    /// <param name="reusedTokens">Tokens that the sequence began with.</param>
    /// <param name="expectedFrames">Per layer of this cache: frames that have to land from all senders together.</param>
    /// <param name="senders">Indices of the senders that contribute; 0 alone without a group.</param>
    /// <param name="exposed">Whether the sender writes into the blocks by itself.</param>
    internal IncomingHandoff(KvReceiver receiver, Offer offer, HandoffGroup? group, KvSequence sequence, int reusedTokens, int[] expectedFrames, ImmutableArray<int> senders, bool exposed)
    {
        _receiver = receiver;
        _sequence = sequence;
        Id = offer.HandoffId;
        RequestId = offer.RequestId;
        TotalTokens = offer.TotalTokens;
        Priority = offer.Priority;
        Intent = offer.Intent;
        Group = group;
        Senders = senders;
        ReusedTokens = reusedTokens;
        Target = sequence;
        Deadline = receiver.Clock.NowMilliseconds + offer.DeadlineMilliseconds;
        _state = HandoffState.Initial(group is { Targets.Length: > 1 } ? HandoffRole.GroupReceiver : HandoffRole.Receiver, exposed).After(HandoffEvent.Granted);
        IsExposed = exposed;
        _parts = new IncomingPart?[group?.Sources.Length ?? 1];
        _framesLeft = expectedFrames;
        _layers = new TaskCompletionSource[expectedFrames.Length];
        _layersLeft = expectedFrames.Length;
        for (int i = 0; i < _layers.Length; i++) _layers[i] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Use = new OutstandingUse(BlocksLeft);
        StartAccount(offer);
    }

    /// <summary>Identity that the sender gave the handoff.</summary>
    public Guid Id { get; }

    /// <summary>The host's request id.</summary>
    public string RequestId { get; }

    /// <summary>Tokens that the sequence will have.</summary>
    public int TotalTokens { get; }

    /// <summary>Tokens from the first on that were in this cache already and did not travel.</summary>
    public int ReusedTokens { get; }

    /// <summary>The sender's priority.</summary>
    public byte Priority { get; }

    /// <summary>What the handoff is for.</summary>
    public HandoffIntent Intent { get; }

    /// <summary>The group that it is a part of, or null.</summary>
    public HandoffGroup? Group { get; }

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
        KvBytes = KvBytes,
        WireBytes = Volatile.Read(ref _wireBytes),
        BytesCopied = Volatile.Read(ref _bytesCopied),
        Elapsed = System.Diagnostics.Stopwatch.GetElapsedTime(_offeredAt, _completeAt == 0 ? PhaseClock.Now : _completeAt),
    };

    /// <summary>
    /// The sequence while layers land, to read layers that <see cref="LayerAsync"/> has announced. It is not the host's before the commit.
    /// </summary>
    public KvSequence Target { get; }

    internal PhaseClock Clock { get; } = new();

    internal OutstandingUse Use { get; }

    internal long Deadline { get; }

    /// <summary>Whether the sender was granted blocks that it writes by itself.</summary>
    internal bool IsExposed { get; }

    /// <summary>Whether an ended handoff's blocks wait for the sender to let go of them.</summary>
    internal bool IsQuarantined
    {
        get
        {
            lock (_gate) return _state is { IsTerminal: true, IsExposed: true, Status: not HandoffStatus.Committed };
        }
    }

    /// <summary>The ticket that allowed it, or null.</summary>
    internal HandoffTicket? Ticket { get; init; }

    /// <summary>Senders of the group that contribute.</summary>
    internal ImmutableArray<int> Senders { get; }

    /// <summary>Bytes that the parts were granted so far.</summary>
    internal long KvBytes => _parts.Sum(p => p?.Shape.KvBytes ?? 0);

    /// <summary>Whether another receiver commits for the group.</summary>
    internal bool IsDecidedElsewhere => Group is not null && Group.Coordinator != Group.Target;

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
    public void RecordFirstAttend(TimeSpan elapsed)
    {
        Clock.Set(HandoffPhase.FirstAttend, elapsed);
        HandoffMeters.FirstAttended(elapsed);
    }

    /// <summary>Aborts an uncommitted handoff and completes when its blocks are free; returns a committed sequence that nobody took.</summary>
    /// <remarks>One that is prepared in a group waits for the coordinator's decision or the deadline: it has given its word.</remarks>
    public async ValueTask DisposeAsync()
    {
        Fail(AbortReason.Cancelled, "The receiver gave the handoff up.");
        if (Status == HandoffStatus.Prepared) await Task.WhenAny(_committed.Task, _released.Task).ConfigureAwait(false);
        if (Status != HandoffStatus.Committed) await _released.Task.ConfigureAwait(false);
        Interlocked.Exchange(ref _sequence, null)?.Dispose();
    }

    /// <summary>The part of a connected sender, or null.</summary>
    internal IncomingPart? PartOf(ReceiverPeer peer)
    {
        foreach (IncomingPart? part in _parts)
        {
            if (part is not null && ReferenceEquals(part.Peer, peer)) return part;
        }

        return null;
    }

    /// <summary>The part of sender <paramref name="source"/> of the group, or null.</summary>
    internal IncomingPart? PartOf(int source) => _parts[source];

    internal void Add(int source, IncomingPart part) => _parts[source] = part;

    /// <summary>Parts that were offered so far.</summary>
    internal IEnumerable<IncomingPart> Parts => _parts.Where(p => p is not null)!;

    /// <summary>Why the handoff is overdue at <paramref name="now"/>, or null.</summary>
    internal string? Overdue(long now)
    {
        if (now >= Deadline) return $"The deadline passed with {Volatile.Read(ref _layersLeft)} of {_layers.Length} layers incomplete.";
        foreach (IncomingPart? part in _parts)
        {
            if (part is { IsFinished: false } or { FramesLeft: > 0 } && part.Overdue(now) is { } reason) return reason;
        }

        return null;
    }

    /// <summary>A frame of a layer of this cache was verified.</summary>
    internal void Landed(int layer, long wireBytes, long bytesCopied)
    {
        Interlocked.Add(ref _wireBytes, wireBytes);
        Interlocked.Add(ref _bytesCopied, bytesCopied);
        Count(layer, 1);
    }

    /// <summary>Frames of a layer are there: landed, or reused.</summary>
    internal void Count(int layer, int frames)
    {
        if (frames == 0 || Interlocked.Add(ref _framesLeft[layer], -frames) != 0) return;
        _layers[layer].TrySetResult();
        if (Interlocked.Decrement(ref _layersLeft) != 0) return;
        _allLanded.TrySetResult();
        Apply(HandoffEvent.AllLanded);
    }

    private void BlocksLeft()
    {
        foreach (IncomingPart part in Parts) part.Return();
        Apply(HandoffEvent.UsesEnded);
    }

    private void ReleaseBlocks()
    {
        Interlocked.Exchange(ref _sequence, null)?.Dispose();
        _released.TrySetResult();
    }
}
