using System.Diagnostics;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Brings handoffs and requests together by handoff id, whichever comes first. Each id is good once: what comes again, or after its time, is
/// told so instead of waiting.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class LandingTable(string worker, TimeSpan unclaimedLifetime) : IAsyncDisposable
{
    private const int RememberedIds = 16_384;

    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, TaskCompletionSource<LandedHandoff>> _claims = [];
    private readonly Dictionary<Guid, Action> _landing = [];
    private readonly Dictionary<Guid, (LandedHandoff Handoff, long At)> _unclaimed = [];
    private readonly Dictionary<Guid, string> _closed = [];
    private readonly Queue<Guid> _closedInOrder = new();

    /// <summary>Requests whose handoff has not landed.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate) return _claims.Count;
        }
    }

    /// <summary>The handoff that this request is for, when it has landed. Until then the request waits, at most its deadline.</summary>
    /// <exception cref="WorkerException">The id was used, the handoff ended without a commit, or the deadline passed.</exception>
    public async Task<LandedHandoff> ClaimAsync(Guid id, TimeSpan deadline, CancellationToken cancellationToken)
    {
        TaskCompletionSource<LandedHandoff> claim;
        lock (_gate)
        {
            if (_closed.TryGetValue(id, out string? reason)) throw new WorkerException(WorkerFailure.Handoff, worker, $"handoff {id} {reason}.");
            if (_claims.ContainsKey(id)) throw new WorkerException(WorkerFailure.Invalid, worker, $"handoff {id} is waited for by another request.");
            if (_unclaimed.Remove(id, out var landed))
            {
                Close(id, "was taken by another request");
                return landed.Handoff;
            }

            claim = new TaskCompletionSource<LandedHandoff>(TaskCreationOptions.RunContinuationsAsynchronously);
            _claims.Add(id, claim);
        }

        try
        {
            return await claim.Task.WaitAsync(deadline, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            Action? abort = null;
            LandedHandoff? late = null;
            lock (_gate)
            {
                if (_claims.Remove(id))
                {
                    Close(id, e is TimeoutException ? "did not come in time" : "was given up");
                    _landing.Remove(id, out abort);
                }
                else if (claim.Task.IsCompletedSuccessfully)
                {
                    late = claim.Task.Result;
                }
            }

            abort?.Invoke();
            late?.Drop();
            if (e is TimeoutException) throw new WorkerException(WorkerFailure.Handoff, worker, $"handoff {id} did not land within {deadline.TotalMilliseconds:0} ms.");
            throw;
        }
    }

    /// <summary>A handoff begins to land. False when nobody will ask for it: then it is to be dropped.</summary>
    /// <param name="id">The handoff.</param>
    /// <param name="abort">Called when its request is given up before it has landed; not to block.</param>
    public bool Expect(Guid id, Action abort)
    {
        lock (_gate)
        {
            if (_closed.ContainsKey(id)) return false;
            _landing[id] = abort;
            return true;
        }
    }

    /// <summary>A handoff has landed.</summary>
    public void Land(Guid id, LandedHandoff handoff)
    {
        lock (_gate)
        {
            _landing.Remove(id);
            if (_claims.Remove(id, out TaskCompletionSource<LandedHandoff>? claim))
            {
                Close(id, "was taken by another request");
                claim.SetResult(handoff);
                return;
            }

            if (!_closed.ContainsKey(id))
            {
                _unclaimed[id] = (handoff, Stopwatch.GetTimestamp());
                return;
            }
        }

        handoff.Drop();
    }

    /// <summary>A handoff ended without a commit.</summary>
    public void Fail(Guid id, WorkerException failure)
    {
        lock (_gate)
        {
            _landing.Remove(id);
            _claims.Remove(id, out TaskCompletionSource<LandedHandoff>? claim);
            Close(id, "ended without a commit");
            claim?.SetException(failure);
        }
    }

    /// <summary>Drops what has landed and was not asked for in time.</summary>
    public void Sweep()
    {
        List<LandedHandoff>? late = null;
        lock (_gate)
        {
            foreach ((Guid id, (LandedHandoff handoff, long at)) in _unclaimed)
            {
                if (Stopwatch.GetElapsedTime(at) < unclaimedLifetime) continue;
                (late ??= []).Add(handoff);
                Close(id, "landed, and was dropped because nobody asked for it");
            }

            if (late is not null)
            {
                foreach (Guid id in _unclaimed.Where(u => late.Contains(u.Value.Handoff)).Select(u => u.Key).ToArray()) _unclaimed.Remove(id);
            }
        }

        foreach (LandedHandoff handoff in late ?? []) handoff.Drop();
    }

    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            foreach ((LandedHandoff handoff, _) in _unclaimed.Values) handoff.Drop();
            _unclaimed.Clear();
            foreach (TaskCompletionSource<LandedHandoff> claim in _claims.Values) claim.TrySetException(new WorkerException(WorkerFailure.Lost, worker, "it shuts down."));
            _claims.Clear();
        }

        return ValueTask.CompletedTask;
    }

    // Called with the gate held.
    private void Close(Guid id, string reason)
    {
        if (!_closed.TryAdd(id, reason)) return;
        _closedInOrder.Enqueue(id);
        if (_closedInOrder.Count > RememberedIds) _closed.Remove(_closedInOrder.Dequeue());
    }
}
