namespace KvHandoff.Attention;

/// <summary>
/// Runs independent items on a few threads: the calling one and as many of the thread pool as it lends. Who runs which item is left
/// open, so items must not depend on it. If the pool lends none, the caller does everything.
/// </summary>
/// <remarks>One run at a time; a run allocates nothing.</remarks>
public sealed class AttentionThreads
{
    private static readonly Action<int, int> s_nothing = static (_, _) => { };

    private readonly PoolMember[] _members;
    private Action<int, int> _body = s_nothing;
    private Exception? _failure;
    private int _items, _next, _busy;

    /// <summary>Prepares for runs on so many threads.</summary>
    /// <param name="count">Threads, the calling one included: 1 to 1024.</param>
    /// <exception cref="ArgumentOutOfRangeException">The count is out of range.</exception>
    public AttentionThreads(int count)
    {
        if (count is < 1 or > 1024) throw new ArgumentOutOfRangeException(nameof(count), count, $"{count} threads; allowed: 1 to 1024.");
        Count = count;
        _members = new PoolMember[count - 1];
        for (int i = 0; i < _members.Length; i++) _members[i] = new PoolMember(this, i + 1);
    }

    /// <summary>Threads, the calling one included.</summary>
    public int Count { get; }

    /// <summary>Calls <paramref name="body"/> with (worker, item) for items 0 to <paramref name="items"/> - 1 and returns when all are done.</summary>
    /// <param name="items">Items, 0 or more.</param>
    /// <param name="body">Two calls at the same time have different workers, 0 to <see cref="Count"/> - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 items.</exception>
    /// <exception cref="InvalidOperationException">A run is going on.</exception>
    /// <exception cref="AggregateException">A body threw; the items that had not begun were left out.</exception>
    public void Run(int items, Action<int, int> body)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(items);
        ArgumentNullException.ThrowIfNull(body);
        if (Interlocked.Exchange(ref _busy, 1) != 0) throw new InvalidOperationException("A run of these threads is going on; use another instance beside it.");
        try
        {
            (_body, _items, _failure) = (body, items, null);
            Volatile.Write(ref _next, 0);
            int members = Math.Min(_members.Length, items - 1);
            for (int i = 0; i < members; i++) _members[i].Call();
            Work(0);
            for (int i = 0; i < members; i++) _members[i].Release();
            if (_failure is not null) throw new AggregateException(_failure);
        }
        finally
        {
            _body = s_nothing;
            Volatile.Write(ref _busy, 0);
        }
    }

    private void Work(int worker)
    {
        try
        {
            for (int item = Interlocked.Increment(ref _next) - 1; item < _items; item = Interlocked.Increment(ref _next) - 1) _body(worker, item);
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, failure, null);
            Interlocked.Exchange(ref _next, _items);
        }
    }

    /// <summary>One thread of the pool. A call that the pool did not answer in time is taken back and finds nothing to do later.</summary>
    private sealed class PoolMember(AttentionThreads owner, int worker) : IThreadPoolWorkItem
    {
        private const int Idle = 0, Called = 1, Working = 2;

        private int _state;

        internal void Call()
        {
            Volatile.Write(ref _state, Called);
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        internal void Release()
        {
            if (Interlocked.CompareExchange(ref _state, Idle, Called) == Called) return;
            SpinWait wait = default;
            while (Volatile.Read(ref _state) == Working) wait.SpinOnce(sleep1Threshold: -1);
        }

        public void Execute()
        {
            if (Interlocked.CompareExchange(ref _state, Working, Called) != Called) return;
            owner.Work(worker);
            Volatile.Write(ref _state, Idle);
        }
    }
}
