namespace KvHandoff.Bench.Simulation;

/// <summary>
/// Flows over shared resources (network sides, a fabric, codec cores) with max-min fairness: no flow can get more without one that has no more than it losing.
/// Each resource has a level: the rate at which it cuts the flows off that nobody else cuts off lower; a flow's rate is its own cap or the lowest level on its way. When a flow comes
/// or goes only levels that change are worked out again, and what depends on them: the lowest bottleneck is right at once, the next after it, and so on (Charny's argument), so the
/// order of work does not matter. In a network that is not overloaded a change reaches no further than one node.
/// </summary>
internal sealed class FairNetwork
{
    private const int Hops = 5, Unplaced = -1;
    private const double Same = 1e-9;

    private readonly double[] _capacity, _level, _demand;
    private readonly int[] _counts;
    private readonly int[][] _members;
    private readonly bool[] _isDirty;
    private readonly Queue<int> _dirty = new();
    private readonly Stack<int> _free = new();
    private readonly List<int> _touched = [];
    private double[] _cap = [], _rate = [];
    private int[] _way = [], _place = [], _stamp = [];
    private int _used, _stamps;
    private double[] _limits = new double[64];

    /// <param name="capacities">Of each resource; infinite for one that never limits.</param>
    internal FairNetwork(IReadOnlyList<double> capacities)
    {
        _capacity = [.. capacities];
        _level = new double[_capacity.Length];
        _demand = new double[_capacity.Length];
        _counts = new int[_capacity.Length];
        _members = new int[_capacity.Length][];
        _isDirty = new bool[_capacity.Length];
        Array.Fill(_level, double.PositiveInfinity);
        for (int i = 0; i < _members.Length; i++) _members[i] = [];
    }

    /// <summary>Flows whose rate the last change moved.</summary>
    internal List<int> Changed { get; } = [];

    internal int MostFlows => _used;

    internal double Rate(int flow) => _rate[flow];

    internal double Level(int resource) => _level[resource];

    /// <summary>A flow over at most five different resources.</summary>
    /// <param name="way">The resources; those that never limit may be left out.</param>
    /// <param name="cap">Bytes per second that it takes at most, whatever is free.</param>
    internal int Add(ReadOnlySpan<int> way, double cap)
    {
        int flow = _free.Count > 0 ? _free.Pop() : NewFlow();
        _cap[flow] = cap;
        _rate[flow] = 0;
        for (int hop = 0; hop < Hops; hop++)
        {
            int resource = hop < way.Length ? way[hop] : Unplaced;
            _way[flow * Hops + hop] = resource;
            if (resource == Unplaced) continue;
            if (_counts[resource] == _members[resource].Length) Array.Resize(ref _members[resource], Math.Max(4, 2 * _counts[resource]));
            _place[flow * Hops + hop] = _counts[resource];
            _members[resource][_counts[resource]++] = flow * Hops + hop;
        }

        for (int hop = 0; hop < way.Length; hop++) Ask(way[hop], Limit(flow, way[hop], way[hop]));
        Settle(flow);
        return flow;
    }

    internal void Remove(int flow)
    {
        for (int hop = 0; hop < Hops; hop++)
        {
            int resource = _way[flow * Hops + hop];
            if (resource == Unplaced) continue;
            double asked = Limit(flow, resource, resource);
            int place = _place[flow * Hops + hop], last = _members[resource][--_counts[resource]];
            _members[resource][place] = last;
            _place[last] = place;
            Ask(resource, -asked);
            // What rounding leaves is gone when nobody is left.
            if (_counts[resource] == 0) _demand[resource] = 0;
        }

        Array.Fill(_way, Unplaced, flow * Hops, Hops);
        _rate[flow] = 0;
        _free.Push(flow);
        Settle(Unplaced);
    }

    internal void SetCap(int flow, double cap)
    {
        double before = _cap[flow];
        if (before == cap) return;
        _cap[flow] = double.PositiveInfinity;
        for (int hop = 0; hop < Hops; hop++)
        {
            int resource = _way[flow * Hops + hop];
            if (resource == Unplaced) continue;
            double rest = Limit(flow, resource, resource);
            Ask(resource, Math.Min(rest, cap) - Math.Min(rest, before));
        }

        _cap[flow] = cap;
        Settle(flow);
    }

    private void Settle(int own)
    {
        Changed.Clear();
        _touched.Clear();
        while (_dirty.TryDequeue(out int resource))
        {
            _isDirty[resource] = false;
            double before = _level[resource], after = LevelOf(resource);
            if (before == after || (double.IsFinite(before) && double.IsFinite(after) && Math.Abs(before - after) <= Same * after)) continue;
            _level[resource] = after;
            _touched.Add(resource);
            Spread(resource, before, after);
        }

        _stamps++;
        if (own != Unplaced) Update(own);
        foreach (int resource in _touched)
        {
            for (int i = 0; i < _counts[resource]; i++) Update(_members[resource][i] / Hops);
        }
    }

    // What reaches the other resources of these flows changed.
    private void Spread(int resource, double before, double after)
    {
        for (int i = 0; i < _counts[resource]; i++)
        {
            int flow = _members[resource][i] / Hops;
            for (int hop = 0; hop < Hops; hop++)
            {
                int other = _way[flow * Hops + hop];
                if (other == Unplaced || other == resource) continue;
                double rest = Limit(flow, other, resource);
                Ask(other, Math.Min(rest, after) - Math.Min(rest, before));
            }
        }
    }

    // A resource is worked out again only if it limits now, or may from now on: one that is never full costs nothing, however many flows cross it.
    private void Ask(int resource, double more)
    {
        if (more == 0) return;
        _demand[resource] += more;
        if (double.IsFinite(_level[resource]) || _demand[resource] > _capacity[resource] * (1 - Same)) Mark(resource);
    }

    private double LevelOf(int resource)
    {
        int count = _counts[resource];
        double capacity = _capacity[resource];
        if (count == 0) return double.PositiveInfinity;
        if (_limits.Length < count) _limits = new double[2 * count];
        double sum = 0;
        for (int i = 0; i < count; i++) sum += _limits[i] = Limit(_members[resource][i] / Hops, resource, resource);
        _demand[resource] = sum;
        if (sum <= capacity * (1 + Same)) return double.PositiveInfinity;
        double level = capacity / count;
        while (true)
        {
            double below = 0;
            int cut = 0;
            for (int i = 0; i < count; i++)
            {
                if (_limits[i] < level) below += _limits[i];
                else cut++;
            }

            double next = (capacity - below) / cut;
            if (cut == 0 || next <= level * (1 + 1e-13)) return level;
            level = next;
        }
    }

    // What the flow could have if two resources were not there.
    private double Limit(int flow, int without, int andWithout)
    {
        double limit = _cap[flow];
        for (int hop = 0; hop < Hops; hop++)
        {
            int resource = _way[flow * Hops + hop];
            if (resource != Unplaced && resource != without && resource != andWithout) limit = Math.Min(limit, _level[resource]);
        }

        return limit;
    }

    private void Update(int flow)
    {
        if (_stamp[flow] == _stamps) return;
        _stamp[flow] = _stamps;
        double rate = Limit(flow, Unplaced, Unplaced);
        if (rate == _rate[flow]) return;
        _rate[flow] = rate;
        Changed.Add(flow);
    }

    private void Mark(int resource)
    {
        if (_isDirty[resource]) return;
        _isDirty[resource] = true;
        _dirty.Enqueue(resource);
    }

    private int NewFlow()
    {
        if (_used == _cap.Length)
        {
            int size = Math.Max(64, 2 * _used);
            Array.Resize(ref _cap, size);
            Array.Resize(ref _rate, size);
            Array.Resize(ref _stamp, size);
            Array.Resize(ref _way, size * Hops);
            Array.Resize(ref _place, size * Hops);
        }

        return _used++;
    }
}
