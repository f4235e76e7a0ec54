using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Native;

/// <summary>
/// An outgoing handoff from the offer on. Layers may be published and the commit may be asked for before the receiver has answered: they are kept until
/// it has.
/// </summary>
sealed class NativeOutgoing(NativeSender sender, NativeSequence? sequence, HandoffOffer offer) : NativeSource(sequence is null ? [sender] : [sender, sequence])
{
    readonly Lock _gate = new();
    readonly CancellationTokenSource _cancel = new();
    readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly List<(int Layer, IndexRange Tokens)> _early = [];
    OutgoingHandoff? _handoff;
    (HandoffManifest Manifest, Func<CanarySet?> Canary)? _commit;
    bool _committing;
    FailureInfo? _failure;

    internal HandoffOffer Offer => offer;

    internal HandoffCost? Cost { get; private set; }

    internal override bool ClosingWaits => true;

    internal override FailureInfo? Ended => _failure;

    internal KvCacheLayout Layout => sender.Cache.Cache.Layout;

    /// <summary>The handoff once it is granted.</summary>
    internal OutgoingHandoff? Handoff => Volatile.Read(ref _handoff);

    internal int State => Handoff is { } granted ? (int)granted.Status
        : _failure is null ? (int)HandoffStatus.Offered
        : _failure.Status switch { Status.Rejected => (int)HandoffStatus.Rejected, Status.Expired => (int)HandoffStatus.Expired, _ => (int)HandoffStatus.Aborted };

    internal void Start() => _ = RunAsync();

    internal void Publish(int layer, IndexRange tokens)
    {
        if (Handoff is { } granted)
        {
            granted.Publish(layer, tokens);
            return;
        }

        HostStructs.RequireRange(layer, 0, Layout.LayerCount - 1, "layer");
        if (tokens.Start < 0 || tokens.Count < 0 || tokens.Start > offer.TotalTokens - tokens.Count)
            throw new StatusException(Status.Argument, $"Tokens {tokens.Start} to {(long)tokens.Start + tokens.Count} are published; {offer.TotalTokens} are offered.");
        lock (_gate)
        {
            if (_handoff is null) _early.Add((layer, tokens));
            else _handoff.Publish(layer, tokens);
        }
    }

    /// <summary>Sends the manifest, or keeps it until the receiver has granted room.</summary>
    internal void Commit(HandoffManifest manifest, Func<CanarySet?> canary)
    {
        manifest.Validate();
        if (manifest.Position != offer.TotalTokens) throw new StatusException(Status.Argument, $"position is {manifest.Position}; {offer.TotalTokens} tokens are offered.");
        lock (_gate)
        {
            if (_committing) throw new StatusException(Status.State, "The handoff is being committed already.");
            if (_failure is { } failure) throw new StatusException(failure.Status, failure.Text);
            if (_handoff is null)
            {
                _commit = (manifest, canary);
                _committing = true;
                return;
            }

            // What is wrong with the call itself shows at once and leaves the handoff open.
            CanarySet? set = canary();
            Task<HandoffCost> verdict = _handoff.CommitAsync(manifest, set, _cancel.Token);
            if (verdict is { IsFaulted: true, Exception.InnerException: ArgumentException or InvalidOperationException }) verdict.GetAwaiter().GetResult();
            _committing = true;
            _ = ConcludeAsync(_handoff, verdict);
        }
    }

    internal void Cancel()
    {
        _cancel.Cancel();
        if (Handoff is { } granted) _ = EndAsync(granted);
    }

    protected override void EndWaits()
    {
        base.EndWaits();
        Cancel();
    }

    protected override void Free()
    {
        _over.Task.GetAwaiter().GetResult();
        _handoff?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _cancel.Dispose();
    }

    async Task RunAsync()
    {
        OutgoingHandoff granted;
        try
        {
            granted = sequence is null
                ? await sender.Sender.OfferInPlaceAsync(offer, _cancel.Token).ConfigureAwait(false)
                : await sender.Sender.OfferAsync(sequence.Own, offer, _cancel.Token).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Fail(e);
            return;
        }

        try
        {
            lock (_gate)
            {
                foreach ((int layer, IndexRange tokens) in _early) granted.Publish(layer, tokens);
                Volatile.Write(ref _handoff, granted);
                if (_commit is var (manifest, canary)) _ = ConcludeAsync(granted, granted.CommitAsync(manifest, canary(), _cancel.Token));
            }

            Events.Raise(HandleEvents.Granted);
            // Also a handoff that nobody commits ends, by its deadline at the latest.
            await granted.EndedAsync.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            await EndAsync(granted).ConfigureAwait(false);
            if (!IsCommitting) Fail(e);
        }
    }

    // A commit that runs tells the end by itself, with what it cost.
    bool IsCommitting
    {
        get
        {
            lock (_gate) return _committing;
        }
    }

    async Task ConcludeAsync(OutgoingHandoff granted, Task<HandoffCost> verdict)
    {
        try
        {
            Cost = await verdict.ConfigureAwait(false);
            if (!_over.TrySetResult()) return;
            Log.Write(LogLevel.Info, Handle, $"Handoff {offer.HandoffId} is committed.");
            Events.Raise(HandleEvents.Committed);
        }
        catch (Exception e)
        {
            await EndAsync(granted).ConfigureAwait(false);
            Fail(e);
        }
    }

    static async Task EndAsync(OutgoingHandoff granted)
    {
        try
        {
            await granted.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Log.Write(LogLevel.Error, 0, $"Ending handoff {granted.Id}: {e.Message}");
        }
    }

    void Fail(Exception e)
    {
        lock (_gate)
        {
            if (_failure is not null || _over.Task.IsCompleted) return;
            _failure = LastFailure = Failure.Of(e);
        }

        _over.TrySetResult();
        Log.Write(LogLevel.Warning, Handle, $"Handoff {offer.HandoffId} ended: {_failure.Text}");
        Events.Raise(HandleEvents.Failed);
    }
}
