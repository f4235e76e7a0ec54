using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>
/// A worker's place at this gateway: its last status and what was sent to it since. Requests are placed by this account alone; nobody asks a
/// worker while a request waits. Thread-safe.
/// </summary>
internal sealed class WorkerSeat(IWorker worker)
{
    private readonly Lock _gate = new();
    private WorkerStatus? _status;
    private bool _isUp;
    private string _reason = "It was not heard of yet.";
    private int _promptTokensUnderWay, _sequences, _sequencesSinceStatus;
    private long _tokensSinceStatus;

    internal string Name => worker.Name;

    internal IWorker Worker => worker;

    /// <summary>The last status; null before the first.</summary>
    internal WorkerStatus? Status => Volatile.Read(ref _status);

    /// <summary>Whether it answered when it was last spoken to.</summary>
    internal bool IsUp => Volatile.Read(ref _isUp);

    /// <summary>Why it is not up; empty if it is.</summary>
    internal string Reason => IsUp ? "" : _reason;

    /// <summary>Prompt tokens that were sent here to be computed and are not yet.</summary>
    internal int PromptTokensUnderWay => Volatile.Read(ref _promptTokensUnderWay);

    /// <summary>Requests of this gateway that are here.</summary>
    internal int Sequences => Volatile.Read(ref _sequences);

    /// <summary>Sequences that are here, as far as one can know: other gateways' are in the status only.</summary>
    internal int Load
    {
        get
        {
            lock (_gate) return Math.Max(_sequences, (_status?.Running ?? 0) + (_status?.Waiting ?? 0) + _sequencesSinceStatus);
        }
    }

    /// <summary>Room for so many tokens, less what was sent since the status.</summary>
    internal long FreeTokens
    {
        get
        {
            lock (_gate) return (_status?.FreeTokens ?? 0) - _tokensSinceStatus;
        }
    }

    internal void Update(WorkerStatus status)
    {
        lock (_gate)
        {
            _status = status;
            _isUp = true;
            _tokensSinceStatus = 0;
            _sequencesSinceStatus = 0;
        }
    }

    internal void MarkDown(string reason)
    {
        lock (_gate)
        {
            _isUp = false;
            _reason = reason;
        }
    }

    /// <summary>Counts a request in; disposed when it has left.</summary>
    internal Stay Enter(int promptTokens, int tokens)
    {
        lock (_gate)
        {
            _sequences++;
            _sequencesSinceStatus++;
            _tokensSinceStatus += tokens;
            _promptTokensUnderWay += promptTokens;
        }

        return new Stay(this, promptTokens);
    }

    internal sealed class Stay(WorkerSeat seat, int promptTokens) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) != 0) return;
            lock (seat._gate)
            {
                seat._sequences--;
                seat._promptTokensUnderWay -= promptTokens;
            }
        }
    }
}
