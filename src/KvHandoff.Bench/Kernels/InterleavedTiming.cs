using System.Diagnostics;
using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Kernels;

/// <summary>Times of a kernel and of its limits, taken in turns, so that whatever else the machine does slows all of them alike.</summary>
/// <param name="KernelSeconds">Of one pass, sample by sample.</param>
/// <param name="LimitSeconds">The same of each limit.</param>
internal sealed record InterleavedTiming(double[] KernelSeconds, double[][] LimitSeconds)
{
    private const double SampleSeconds = 1e-3;
    private const int LeastSamples = 5, MostSamples = 31, MostPasses = 1 << 20;

    internal double KernelMedian => Median.Of(KernelSeconds);

    /// <summary>The limit whose median is the longest: the one that bounds.</summary>
    internal int SlowestLimit => Enumerable.Range(0, LimitSeconds.Length).MaxBy(i => Median.Of(LimitSeconds[i]));

    /// <summary>Runs everything warm for <paramref name="warmUpSeconds"/> each, then in turns for <paramref name="budgetSeconds"/>, five times at least.</summary>
    internal static InterleavedTiming Measure(Action kernel, IReadOnlyList<Action> limits, double warmUpSeconds, double budgetSeconds, CancellationToken cancellationToken)
    {
        Action[] actions = [kernel, .. limits];
        int[] passes = [.. actions.Select(a => WarmUp(a, warmUpSeconds))];
        var samples = new List<double>[actions.Length];
        for (int i = 0; i < samples.Length; i++) samples[i] = [];
        long started = Stopwatch.GetTimestamp();
        while (samples[0].Count < LeastSamples || (samples[0].Count < MostSamples && Stopwatch.GetElapsedTime(started).TotalSeconds < budgetSeconds))
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < actions.Length; i++) samples[i].Add(Sample(actions[i], passes[i]));
        }

        return new InterleavedTiming([.. samples[0]], [.. samples.Skip(1).Select(s => s.ToArray())]);
    }

    /// <summary>Runs an action for a time, and says how many passes make a sample that is long enough for the clock.</summary>
    internal static int WarmUp(Action action, double seconds)
    {
        long started = Stopwatch.GetTimestamp();
        double pass;
        do pass = Sample(action, 1);
        while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds);
        return (int)Math.Clamp(SampleSeconds / pass, 1, MostPasses);
    }

    private static double Sample(Action action, int passes)
    {
        long started = ThreadClock.Nanoseconds();
        for (int i = 0; i < passes; i++) action();
        return Math.Max(1, ThreadClock.Nanoseconds() - started) * 1e-9 / passes;
    }
}
