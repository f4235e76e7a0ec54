using System.Diagnostics;
using System.Runtime.InteropServices;

namespace KvHandoff.Bench.Kernels;

/// <summary>
/// Time that this thread has had a processor for, where the system tells: on a machine that others use too, the wall clock also counts
/// the time in which they run.
/// </summary>
internal static partial class ThreadClock
{
    private const int ThreadCpuTime = 3;
    private static readonly bool IsAvailable = OperatingSystem.IsLinux();

    /// <summary>"thread-cpu" or "wall".</summary>
    internal static string Name => IsAvailable ? "thread-cpu" : "wall";

    internal static long Nanoseconds()
    {
        if (!IsAvailable) return (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));
        int error = ReadClock(ThreadCpuTime, out TimeSpecification time);
        return error == 0 ? time.Seconds * 1_000_000_000 + time.Nanoseconds : throw new InvalidOperationException($"clock_gettime({ThreadCpuTime}) returned {error}.");
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ReadClock(int clock, out TimeSpecification time);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpecification
    {
        internal long Seconds;
        internal long Nanoseconds;
    }
}
