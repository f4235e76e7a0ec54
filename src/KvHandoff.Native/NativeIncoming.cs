using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>An incoming handoff: tells layers, commit and failure as events, and keeps a committed sequence until the host takes it.</summary>
sealed class NativeIncoming : NativeSource
{
    readonly Lock _gate = new();
    readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly int _layers;
    int _landed;
    KvSequence? _committed;
    FailureInfo? _failure;
    KvhManifest _manifest;
    nint _manifestMemory;

    internal NativeIncoming(NativeReceiver receiver, IncomingHandoff incoming) : base(receiver)
    {
        Incoming = incoming;
        Cache = receiver.Cache;
        _layers = receiver.Cache.Cache.Layout.LayerCount;
        for (int layer = 0; layer < _layers; layer++)
            _ = incoming.LayerAsync(layer).ContinueWith(static (done, self) => ((NativeIncoming)self!).LayerEnded(done), this, default, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _ = incoming.CommittedAsync().ContinueWith(static (done, self) => ((NativeIncoming)self!).HandoffEnded(done), this, default, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    internal IncomingHandoff Incoming { get; }

    internal NativeCache Cache { get; }

    internal int Layers => _layers;

    internal int LandedLayers => Volatile.Read(ref _landed);

    internal override bool ClosingWaits => true;

    internal override FailureInfo? Ended => Volatile.Read(ref _failure);

    /// <summary>What is read of a handoff that has failed may be another's already.</summary>
    internal void RequireNotFailed()
    {
        if (Ended is { } failure) throw new StatusException(failure.Status, failure.Text);
    }

    /// <summary>Whether all of a layer is there.</summary>
    internal bool HasLayer(int layer) => Incoming.LayerAsync(layer).IsCompletedSuccessfully;

    /// <summary>The committed sequence, once.</summary>
    internal KvSequence Take()
    {
        RequireNotFailed();
        if ((Events.Happened & HandleEvents.Committed) == 0) throw new StatusException(Status.State, $"The handoff is {Incoming.Status}; its sequence can be taken once it is committed.");
        return Interlocked.Exchange(ref _committed, null) ?? throw new StatusException(Status.State, "The sequence was taken already.");
    }

    /// <summary>Puts a sequence back that could not be handed out.</summary>
    internal void PutBack(KvSequence sequence) => _committed = sequence;

    /// <summary>The manifest in memory that lives as long as this handle.</summary>
    internal KvhManifest Manifest()
    {
        RequireNotFailed();
        lock (_gate)
        {
            if (_manifestMemory == 0) _manifest = ManifestStructs.Write(Incoming.Manifest, out _manifestMemory);
            return _manifest;
        }
    }

    internal void Cancel() => _ = CancelAsync();

    protected override void EndWaits()
    {
        base.EndWaits();
        Cancel();
    }

    protected override void Free()
    {
        // Takes the sequence back if the commit won; the handoff itself has given it away by then.
        Incoming.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _ended.Task.GetAwaiter().GetResult();
        Interlocked.Exchange(ref _committed, null)?.Dispose();
        ManifestStructs.Free(_manifestMemory);
    }

    async Task CancelAsync()
    {
        try
        {
            if (Incoming.Status != HandoffStatus.Committed) await Incoming.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Log.Write(LogLevel.Error, Handle, $"Ending handoff {Incoming.Id}: {e.Message}");
        }
    }

    void LayerEnded(Task done)
    {
        if (!done.IsCompletedSuccessfully) return;
        Events.Raise(Interlocked.Increment(ref _landed) == _layers ? HandleEvents.Layer | HandleEvents.Landed : HandleEvents.Layer);
    }

    void HandoffEnded(Task<KvSequence> done)
    {
        if (done.IsCompletedSuccessfully)
        {
            _committed = done.Result;
            Log.Write(LogLevel.Info, Handle, $"Handoff {Incoming.Id} is committed.");
            Events.Raise(HandleEvents.Committed);
        }
        else
        {
            FailureInfo failure = Failure.Of(done.Exception!);
            LastFailure = failure;
            Volatile.Write(ref _failure, failure);
            Log.Write(LogLevel.Warning, Handle, $"Handoff {Incoming.Id} ended: {failure.Text}");
            Events.Raise(HandleEvents.Failed);
        }

        _ended.TrySetResult();
    }
}
