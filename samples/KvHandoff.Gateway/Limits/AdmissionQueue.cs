namespace KvHandoff.Gateway.Limits;

/// <summary>Bounds the requests that run at once and those that wait for it; first come, first served. Thread-safe.</summary>
internal sealed class AdmissionQueue(int maxRunning, int maxWaiting)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource> _waiting = new();
    private int _running;

    /// <summary>Requests that wait now.</summary>
    internal int Waiting
    {
        get
        {
            lock (_gate) return _waiting.Count;
        }
    }

    /// <summary>Requests that run now.</summary>
    internal int Running => Volatile.Read(ref _running);

    /// <summary>Takes a place, waiting for one if the queue has room; false at once when it has none.</summary>
    /// <exception cref="OperationCanceledException">Cancelled while waiting; no place is held.</exception>
    internal ValueTask<bool> EnterAsync(CancellationToken cancellationToken)
    {
        TaskCompletionSource turn;
        LinkedListNode<TaskCompletionSource> node;
        lock (_gate)
        {
            if (_running < maxRunning)
            {
                _running++;
                return new ValueTask<bool>(true);
            }

            if (_waiting.Count >= maxWaiting) return new ValueTask<bool>(false);
            turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            node = _waiting.AddLast(turn);
        }

        return new ValueTask<bool>(WaitAsync(turn, node, cancellationToken));
    }

    /// <summary>Gives the place to the next in the queue.</summary>
    internal void Leave()
    {
        lock (_gate)
        {
            while (_waiting.First is { } next)
            {
                _waiting.RemoveFirst();
                if (next.Value.TrySetResult()) return;
            }

            _running--;
        }
    }

    private async Task<bool> WaitAsync(TaskCompletionSource turn, LinkedListNode<TaskCompletionSource> node, CancellationToken cancellationToken)
    {
        await using (cancellationToken.UnsafeRegister(static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), turn))
        {
            try
            {
                await turn.Task;
                return true;
            }
            catch (OperationCanceledException)
            {
                lock (_gate)
                {
                    if (node.List is not null) _waiting.Remove(node);
                }

                throw;
            }
        }
    }
}
