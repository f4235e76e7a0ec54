using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A handoff as the sender sees it. Publish layers as prefill produces them, in any order; commit when all are published.
/// </summary>
/// <remarks>
/// <see cref="Publish(int, int)"/> never blocks and may be called from the thread that computes. Disposing before the commit aborts; when
/// disposal or a failed commit completes, no thread reads the sequence's blocks any more.
/// </remarks>
public sealed partial class OutgoingHandoff : IAsyncDisposable
{
    private const long SmallBytes = 1 << 20;

    private readonly Lock _gate = new();
    private readonly KvSender _sender;
    private readonly PublishedRows _published;
    private readonly PooledArray<uint> _digests;
    private readonly TaskCompletionSource<Committed> _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Grant> _granted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _offeredAt = PhaseClock.Now;
    private readonly long _deadline;
    private readonly PooledArray<SlotHandle>[] _held;
    private readonly SlotHandle?[] _heldTails;
    private HandoffState _state = HandoffState.Initial(HandoffRole.Sender);
    private SenderLink _link;
    private Grant? _grant;
    private Finish? _finish;
    private long _wireBytes, _bytesCopied, _renewedAt;
    private uint _digest;

    internal OutgoingHandoff(KvSender sender, SenderLink link, KvSequence sequence, HandoffOffer offer, HandoffShape shape)
    {
        _sender = sender;
        _link = link;
        Sequence = sequence;
        Offer = offer;
        Shape = shape;
        _renewedAt = sender.Clock.NowMilliseconds;
        _deadline = _renewedAt + (long)offer.Deadline.TotalMilliseconds;
        _published = new PublishedRows(shape);
        _digests = new PooledArray<uint>(shape.Frames);
        Use = new OutstandingUse(() => Apply(HandoffEvent.UsesEnded, null));
        _heldTails = new SlotHandle?[shape.Layout.Groups.Length];
        _held = HoldBlocks();
        StartAccount();
    }

    /// <summary>Identity of the handoff; the receiver can be asked about it by this id.</summary>
    public Guid Id => Offer.HandoffId;

    /// <summary>Tokens of the whole sequence.</summary>
    public int TotalTokens => Shape.TotalTokens;

    /// <summary>Tokens from the first on that the receiver had already, so that they do not travel.</summary>
    public int ReusedTokens => _grant?.ReusedTokens ?? 0;

    /// <summary>Where the handoff stands on this side.</summary>
    public HandoffStatus Status
    {
        get
        {
            lock (_gate) return _state.Status;
        }
    }

    internal KvSequence Sequence { get; }

    /// <summary>Whether prefill writes into the receiver's blocks itself, so that nothing is left to copy.</summary>
    internal bool IsInPlace { get; init; }

    /// <summary>Whether the receiver takes this side's word for such rows: nobody reads them, and their checksums are 0.</summary>
    internal bool IsTrusted { get; init; }

    internal HandoffOffer Offer { get; }

    internal HandoffShape Shape { get; }

    /// <summary>The receiver's blocks, where they are mapped here and were granted for this side to write.</summary>
    internal KvSequence? Window { get; private set; }

    internal PhaseClock Clock { get; } = new();

    internal OutstandingUse Use { get; }

    internal ulong LeaseId => _grant!.LeaseId;

    internal ImmutableArray<ImmutableArray<uint>> SlotGenerations => _grant!.SlotGenerations;

    internal Task<Grant> GrantedAsync => _granted.Task;

    /// <summary>Completes with the verdict; fails when the handoff does, also one that nobody commits.</summary>
    internal Task EndedAsync => _verdict.Task;

    /// <summary>
    /// Says that the rows of tokens 0 .. <paramref name="tokens"/> - 1 of <paramref name="layer"/> are final. Whole granules of 64 tokens
    /// are sent at once; a ragged last one when its last token is published.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">No such layer, or more tokens than offered.</exception>
    /// <remarks>After the handoff ended this does nothing: <see cref="CommitAsync(HandoffManifest, CancellationToken)"/> tells how it ended.</remarks>
    public void Publish(int layer, int tokens) => Publish(layer, new IndexRange(0, tokens));

    /// <summary>As <see cref="Publish(int, int)"/>, for a range of tokens: chunks may come in any order, and twice.</summary>
    /// <param name="layer">Layer of the sender's cache.</param>
    /// <param name="tokens">Positions in the sender's sequence.</param>
    /// <exception cref="ArgumentOutOfRangeException">No such layer, or tokens that were not offered.</exception>
    public void Publish(int layer, IndexRange tokens)
    {
        if ((uint)layer >= (uint)Shape.Layout.LayerCount) throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The model has {Shape.Layout.LayerCount} layers.");
        if (tokens.Start < 0 || tokens.Count < 0 || tokens.Start > Shape.OwnTokens - tokens.Count)
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"The offer is for {Shape.OwnTokens} tokens.");
        lock (_gate)
        {
            if (_state.IsTerminal) return;
            List<(HandoffPiece Piece, int Frame)> due = Due();
            _published.Add(layer, tokens, due);
            Send(due);
        }
    }

    /// <summary>
    /// Sends the manifest and completes with the receiver's verdict. The blocks are reusable from then on, also when it throws.
    /// </summary>
    /// <exception cref="InvalidOperationException">A layer is not completely published, or the manifest is for another number of tokens.</exception>
    /// <exception cref="HandoffException">The handoff ended otherwise; for <see cref="HandoffFailure.Expired"/> the outcome at the receiver is unknown.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the receiver publishes nothing unless it had already committed.</exception>
    public Task<HandoffCost> CommitAsync(HandoffManifest manifest, CancellationToken cancellationToken = default) => CommitAsync(manifest, null, cancellationToken);

    /// <summary>As <see cref="CommitAsync(HandoffManifest, CancellationToken)"/>; the receiver commits only if attention over what landed gives what it gave here.</summary>
    /// <param name="manifest">What goes with the cache.</param>
    /// <param name="canary">Queries and outputs of this side's engine, or of <see cref="AttentionCanary.CreateSeeded"/>; null for none.</param>
    /// <param name="cancellationToken">Cancels the handoff.</param>
    public async Task<HandoffCost> CommitAsync(HandoffManifest manifest, CanarySet? canary, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        manifest.Validate();
        if (manifest.Position != TotalTokens) throw new InvalidOperationException($"The manifest is for {manifest.Position} tokens; {TotalTokens} were offered.");
        byte[] encoded = canary is null ? [] : new byte[CanaryCodec.ByteCount(canary)];
        if (canary is not null) CanaryCodec.Write(canary, encoded);
        if (encoded.Length > WireConstants.MaxCanaryBytes) throw new ArgumentException($"The canary has {encoded.Length} bytes; allowed: {WireConstants.MaxCanaryBytes}.", nameof(canary));
        SenderLink link;
        lock (_gate)
        {
            // What came after the end was not taken down any more: then the failure is what there is to tell.
            if (!_state.IsTerminal && _published.Missing() is { } missing) throw new InvalidOperationException(missing);
            _finish = new Finish(Id, LeaseId, manifest) { Canary = encoded };
            link = _link;
        }

        try
        {
            // A small handoff is over before a thread that sleeps would have begun with it.
            bool isSmall = Shape.KvBytes <= SmallBytes;
            // A codec that is chosen by its speed sends each frame by itself, and waits for it.
            if (isSmall && Shape.Codecs.Length == 1) link.HelpSend(this);
            // Without a link it is sent once the receiver has granted the rest.
            _ = link.SendAsync(_finish);
            if (isSmall) link.SpinFor(_verdict.Task);
            else link.StopPumping();
            Committed verdict = await _verdict.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            Use.Close();
            await _released.Task.ConfigureAwait(false);
            if (verdict.LeaseId != 0 && verdict.Digest != _digest)
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

    /// <summary>Takes a frame into the account before it goes: a send that fails may have arrived, and a verdict may be here before the send returns.</summary>
    internal void FrameBuilt(int frame, long wireBytes, long bytesCopied, uint digest)
    {
        _digests.Items[frame] = digest;
        Interlocked.Add(ref _wireBytes, wireBytes);
        Interlocked.Add(ref _bytesCopied, bytesCopied);
    }

    // What one call makes due; kept per thread, for the next one.
    [ThreadStatic]
    private static List<(HandoffPiece Piece, int Frame)>? t_due;

    private static List<(HandoffPiece Piece, int Frame)> Due()
    {
        (t_due ??= []).Clear();
        return t_due;
    }

    // Called with the gate held.
    private void Send(List<(HandoffPiece Piece, int Frame)> due)
    {
        long now = PhaseClock.Now;
        foreach ((HandoffPiece piece, int frame) in due) _link.Queue.Add(new SendJob(this, piece, frame, now), Offer.Priority);
        int count = due.Count;
        due.Clear();
        _link.Queue.Announce(count);
    }

    private uint Digest()
    {
        uint sum = 0;
        foreach (uint digest in _digests.Items) sum += digest;
        return sum;
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

    private PooledArray<SlotHandle>[] HoldBlocks()
    {
        var held = new PooledArray<SlotHandle>[Shape.Layout.Groups.Length];
        for (int g = 0; g < held.Length; g++)
        {
            ReadOnlySpan<SlotHandle> slots = Sequence.Table(g).Slots;
            held[g] = new PooledArray<SlotHandle>(slots.Length);
            slots.CopyTo(held[g].Items);
            foreach (SlotHandle slot in slots) Sequence.Cache.Pools[g].AddReference(slot);
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
            foreach (SlotHandle slot in _held[g].Items) Sequence.Cache.Pools[g].Release(slot);
            _held[g].Return();
            if (_heldTails[g] is { } tail) Sequence.Cache.TailPools[g]!.Release(tail);
        }

        _digest = Digest();
        _digests.Return();
        lock (_gate) _published.Return();
        // Until then the receiver lets nobody have the blocks of a handoff that it did not commit.
        if (Window is not null && _state.Status != HandoffStatus.Committed) _ = _link.SendAsync(new Released(Id, LeaseId));
        _released.TrySetResult();
    }
}
