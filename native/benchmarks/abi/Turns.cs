using System.Runtime.InteropServices;

namespace KvHandoff.AbiBench;

/// <summary>Two forms of the same work in turns: CPU time of the thread, medians, so that neighbours on the machine count for neither.</summary>
static partial class Turns
{
    const int ThreadCpuTime = 3, Rounds = 21;

    internal static (double JitSeconds, double AbiSeconds) Measure(Action jit, Action abi)
    {
        for (int i = 0; i < 3; i++)
        {
            jit();
            abi();
        }

        double[] first = new double[Rounds], second = new double[Rounds];
        for (int i = 0; i < Rounds; i++)
        {
            first[i] = Time(jit);
            second[i] = Time(abi);
        }

        return (Median(first), Median(second));
    }

    internal static double Median(double[] values)
    {
        Array.Sort(values);
        return values[values.Length / 2];
    }

    static double Time(Action work)
    {
        double started = Now();
        work();
        return Now() - started;
    }

    static double Now()
    {
        _ = ClockGetTime(ThreadCpuTime, out TimeSpec time);
        return time.Seconds + time.Nanoseconds * 1e-9;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct TimeSpec
    {
        internal long Seconds, Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, out TimeSpec time);
}
