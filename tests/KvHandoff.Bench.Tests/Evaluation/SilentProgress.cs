using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Counts what it is told.</summary>
internal sealed class SilentProgress : IEvaluationProgress
{
    private int _ended;

    internal int Ended => Volatile.Read(ref _ended);

    internal List<(string Load, string Route, int Requests)> Started { get; } = [];

    public void Step(string text)
    {
    }

    public void LoadStarted(LoadSpec load, string route, int requests) => Started.Add((load.Name, route, requests));

    public void RequestEnded(LoadSpec load, RequestRecord record) => Interlocked.Increment(ref _ended);

    public void LoadEnded(LoadSection section)
    {
    }
}
