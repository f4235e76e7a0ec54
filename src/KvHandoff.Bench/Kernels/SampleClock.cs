using System.Diagnostics;

namespace KvHandoff.Bench.Kernels;

/// <summary>Which time a sample takes.</summary>
/// <param name="Name">"thread-cpu", "process-cpu" or "wall", as results name it.</param>
/// <param name="Nanoseconds">Reads it.</param>
internal sealed record SampleClock(string Name, Func<long> Nanoseconds)
{
    /// <summary>For work of the calling thread.</summary>
    internal static SampleClock Thread { get; } = new(ThreadClock.Name, ThreadClock.Nanoseconds);

    /// <summary>For work that a library may do on threads of its own: theirs counts too.</summary>
    internal static SampleClock Process { get; } = new("process-cpu", () => (long)Environment.CpuUsage.TotalTime.TotalNanoseconds);

    /// <summary>For work shared out to threads: what counts is when the last one is done.</summary>
    internal static SampleClock Wall { get; } = new("wall", () => (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency)));
}
