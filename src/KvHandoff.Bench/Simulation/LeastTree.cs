namespace KvHandoff.Bench.Simulation;

/// <summary>Which of many nodes has the least value, in O(log n) per change: a tournament. Of equals the first wins.</summary>
internal sealed class LeastTree
{
    private readonly double[] _values;
    private readonly int[] _winners;
    private readonly int _leaves;

    internal LeastTree(int count, double value)
    {
        _leaves = 1;
        while (_leaves < count) _leaves *= 2;
        _values = new double[_leaves];
        _winners = new int[2 * _leaves];
        Array.Fill(_values, double.PositiveInfinity);
        Array.Fill(_values, value, 0, count);
        for (int i = 0; i < _leaves; i++) _winners[_leaves + i] = i;
        for (int i = _leaves - 1; i > 0; i--) _winners[i] = Better(_winners[2 * i], _winners[2 * i + 1]);
    }

    /// <summary>The node of least value; its value may be infinite.</summary>
    internal int Least => _winners[1];

    internal double this[int node]
    {
        get => _values[node];
        set
        {
            _values[node] = value;
            for (int i = (_leaves + node) / 2; i > 0; i /= 2) _winners[i] = Better(_winners[2 * i], _winners[2 * i + 1]);
        }
    }

    private int Better(int a, int b) => _values[b] < _values[a] ? b : a;
}
