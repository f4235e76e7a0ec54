namespace KvHandoff.Bench.Simulation;

/// <summary>
/// The simulation's clock: one timer per node and per flow, each with at most one time, in a heap of four children. Moving a timer costs O(log n); timers of equal
/// time go off in the order in which they were set, so that a run is the same every time.
/// </summary>
internal sealed class TimerHeap
{
    private const int Children = 4, Absent = -1;

    private int[] _heap = new int[256], _position = [];
    private double[] _time = [];
    private long[] _order = [];
    private int _count;
    private long _orders;

    internal int Count => _count;

    /// <summary>Sets a timer, or moves it; infinite for never.</summary>
    internal void Set(int timer, double time)
    {
        if (double.IsPositiveInfinity(time))
        {
            Cancel(timer);
            return;
        }

        if (timer >= _position.Length) Grow(timer + 1);
        int at = _position[timer];
        // The same time again keeps its turn.
        if (at != Absent && _time[timer] == time) return;
        _time[timer] = time;
        _order[timer] = _orders++;
        if (at == Absent)
        {
            if (_count == _heap.Length) Array.Resize(ref _heap, 2 * _count);
            at = _count++;
            _heap[at] = timer;
            _position[timer] = at;
        }

        Down(Up(at));
    }

    internal void Cancel(int timer)
    {
        if (timer >= _position.Length || _position[timer] == Absent) return;
        int at = _position[timer], last = _heap[--_count];
        _position[timer] = Absent;
        if (last == timer) return;
        _heap[at] = last;
        _position[last] = at;
        Down(Up(at));
    }

    /// <summary>Takes the timer that goes off first.</summary>
    internal bool TryPop(out int timer, out double time)
    {
        if (_count == 0)
        {
            (timer, time) = (Absent, 0);
            return false;
        }

        timer = _heap[0];
        time = _time[timer];
        Cancel(timer);
        return true;
    }

    private bool Before(int a, int b) => _time[a] < _time[b] || (_time[a] == _time[b] && _order[a] < _order[b]);

    private int Up(int at)
    {
        int timer = _heap[at];
        while (at > 0)
        {
            int parent = (at - 1) / Children;
            if (!Before(timer, _heap[parent])) break;
            Put(_heap[parent], at);
            at = parent;
        }

        Put(timer, at);
        return at;
    }

    private void Down(int at)
    {
        int timer = _heap[at];
        while (true)
        {
            int first = at * Children + 1, least = first;
            if (first >= _count) break;
            for (int child = first + 1; child < Math.Min(first + Children, _count); child++)
            {
                if (Before(_heap[child], _heap[least])) least = child;
            }

            if (!Before(_heap[least], timer)) break;
            Put(_heap[least], at);
            at = least;
        }

        Put(timer, at);
    }

    private void Put(int timer, int at)
    {
        _heap[at] = timer;
        _position[timer] = at;
    }

    private void Grow(int count)
    {
        int old = _position.Length, size = Math.Max(count, Math.Max(64, 2 * old));
        Array.Resize(ref _position, size);
        Array.Resize(ref _time, size);
        Array.Resize(ref _order, size);
        Array.Fill(_position, Absent, old, size - old);
    }
}
