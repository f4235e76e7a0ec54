using System.Diagnostics;

namespace KvHandoff.Session;

/// <summary>Adds up what each phase took. Streams add to it at once without a lock.</summary>
internal sealed class PhaseClock
{
    private readonly long[] _nanoseconds = new long[HandoffCost.PhaseCount];

    internal static long Now => Stopwatch.GetTimestamp();

    /// <summary>Books the time since <paramref name="since"/> and returns the present timestamp, so that phases chain.</summary>
    internal long Add(HandoffPhase phase, long since)
    {
        long now = Stopwatch.GetTimestamp();
        Interlocked.Add(ref _nanoseconds[(int)phase], Nanoseconds(now - since));
        return now;
    }

    /// <summary>Keeps the longest single wait of a phase.</summary>
    internal void Longest(HandoffPhase phase, long since)
    {
        long candidate = Nanoseconds(Stopwatch.GetTimestamp() - since);
        ref long slot = ref _nanoseconds[(int)phase];
        for (long seen = Volatile.Read(ref slot); candidate > seen;)
        {
            long before = Interlocked.CompareExchange(ref slot, candidate, seen);
            if (before == seen) return;
            seen = before;
        }
    }

    internal void Set(HandoffPhase phase, TimeSpan value) => Volatile.Write(ref _nanoseconds[(int)phase], value.Ticks * 100);

    internal long[] Snapshot()
    {
        var copy = new long[_nanoseconds.Length];
        for (int i = 0; i < copy.Length; i++) copy[i] = Volatile.Read(ref _nanoseconds[i]);
        return copy;
    }

    private static long Nanoseconds(long ticks) => (long)(ticks * (1e9 / Stopwatch.Frequency));
}
