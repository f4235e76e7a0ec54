using System.Diagnostics;

namespace KvHandoff.Bench.Evaluation;

/// <summary>The monotonic clock of a run, its second 0 on the wall clock, and its waits. Waits can be replaced, stamps cannot.</summary>
internal sealed class RunClock
{
    private readonly Func<TimeSpan, CancellationToken, Task> _delay;
    private readonly Func<DateTimeOffset> _now;
    private readonly long _started;

    internal RunClock(Func<TimeSpan, CancellationToken, Task>? delay = null, Func<DateTimeOffset>? now = null)
    {
        // Task.Delay counts whole milliseconds: up, so that no wait is shorter than asked.
        _delay = delay ?? ((time, cancellationToken) => Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(time.TotalMilliseconds)), cancellationToken));
        _now = now ?? (() => DateTimeOffset.UtcNow);
        StartedAt = _now();
        _started = Stopwatch.GetTimestamp();
    }

    /// <summary>Second 0 on the wall clock.</summary>
    internal DateTimeOffset StartedAt { get; }

    internal DateTimeOffset UtcNow => _now();

    internal static long Ticks => Stopwatch.GetTimestamp();

    /// <summary>Seconds of the run, now.</summary>
    internal double Now => SecondsAt(Ticks);

    internal double SecondsAt(long ticks) => Between(_started, ticks);

    internal static double Between(long from, long to) => (to - from) / (double)Stopwatch.Frequency;

    internal Task DelayAsync(TimeSpan time, CancellationToken cancellationToken) => _delay(time, cancellationToken);
}
