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
        double[][] samples = Turns([kernel, .. limits], SampleClock.Thread, warmUpSeconds, budgetSeconds, LeastSamples, cancellationToken);
        return new InterleavedTiming(samples[0], samples[1..]);
    }

    /// <summary>Seconds of one pass of each action, sample by sample, taken in turns; as many samples of each.</summary>
    internal static double[][] Turns(IReadOnlyList<Action> actions, SampleClock clock, double warmUpSeconds, double budgetSeconds, int leastSamples, CancellationToken cancellationToken)
    {
        int[] passes = [.. actions.Select(a => WarmUp(a, warmUpSeconds, clock))];
        var samples = new List<double>[actions.Count];
        for (int i = 0; i < samples.Length; i++) samples[i] = [];
        long started = Stopwatch.GetTimestamp();
        while (samples[0].Count < leastSamples || (samples[0].Count < MostSamples && Stopwatch.GetElapsedTime(started).TotalSeconds < budgetSeconds))
        {
            for (int i = 0; i < samples.Length; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                samples[i].Add(Sample(actions[i], passes[i], clock));
            }
        }

        return [.. samples.Select(s => s.ToArray())];
    }

    /// <summary>Runs an action for a time, and says how many passes make a sample that is long enough for the clock.</summary>
    internal static int WarmUp(Action action, double seconds, SampleClock? clock = null)
    {
        long started = Stopwatch.GetTimestamp();
        double pass;
        do pass = Sample(action, 1, clock ?? SampleClock.Thread);
        while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds);
        return (int)Math.Clamp(SampleSeconds / pass, 1, MostPasses);
    }

    private static double Sample(Action action, int passes, SampleClock clock)
    {
        long started = clock.Nanoseconds();
        for (int i = 0; i < passes; i++) action();
        return Math.Max(1, clock.Nanoseconds() - started) * 1e-9 / passes;
    }
}
