using System.Diagnostics;

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

    /// <summary>
    /// One thread of the pool. It stays for the next call for a moment, as runs of one step follow each other faster than a thread wakes.
    /// A call that it did not answer in time is taken back.
    /// </summary>
    private sealed class PoolMember(AttentionThreads owner, int worker) : IThreadPoolWorkItem
    {
        // Longer than what lies between two runs of a step, shorter than what waking a thread costs.
        private const long StayMicroseconds = 20;

        private static readonly long s_stay = Stopwatch.Frequency * StayMicroseconds / 1_000_000;

        private int _state;

        private enum State
        {
            /// <summary>No thread.</summary>
            Away,

            /// <summary>The pool was asked for a thread; nothing to do yet, or no more.</summary>
            Summoned,

            /// <summary>The pool was asked for a thread; there is work for it.</summary>
            SummonedToWork,

            /// <summary>A thread waits.</summary>
            Staying,

            /// <summary>A thread waits, and there is work for it.</summary>
            StayingToWork,

            /// <summary>A thread works.</summary>
            Working,
        }

        internal void Call()
        {
            if (Move(State.Staying, State.StayingToWork) || Move(State.Summoned, State.SummonedToWork)) return;
            // A thread that was summoned arrived, or one that stayed left, just now.
            if (Move(State.Staying, State.StayingToWork)) return;
            Volatile.Write(ref _state, (int)State.SummonedToWork);
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        internal void Release()
        {
            if (Move(State.SummonedToWork, State.Summoned) || Move(State.StayingToWork, State.Staying)) return;
            SpinWait wait = default;
            while (Volatile.Read(ref _state) is (int)State.Working) wait.SpinOnce(sleep1Threshold: -1);
        }

        public void Execute()
        {
            bool works = Arrive();
            while (works || AwaitCall())
            {
                owner.Work(worker);
                Volatile.Write(ref _state, (int)State.Staying);
                works = false;
            }
        }

        // Whether there is work already; the caller may take it back and give it again at any moment.
        private bool Arrive()
        {
            while (true)
            {
                if (Move(State.SummonedToWork, State.Working)) return true;
                if (Move(State.Summoned, State.Staying)) return false;
            }
        }

        // False when nobody called in time.
        private bool AwaitCall()
        {
            long until = Stopwatch.GetTimestamp() + s_stay;
            while (!Move(State.StayingToWork, State.Working))
            {
                if (Stopwatch.GetTimestamp() >= until && Move(State.Staying, State.Away)) return false;
                Thread.SpinWait(8);
            }

            return true;
        }

        private bool Move(State from, State to) => Interlocked.CompareExchange(ref _state, (int)to, (int)from) == (int)from;
    }
}
