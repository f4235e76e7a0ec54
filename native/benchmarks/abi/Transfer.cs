using System.Diagnostics;

namespace KvHandoff.AbiBench;

/// <summary>One sequence of 1.0 GB between two caches of this process, managed and through the interface in turns; attention over it too.</summary>
static class Transfer
{
    internal const int Layers = 80, KvHeads = 8, HeadDim = 128, Tokens = 3100;

    const int Rounds = 7;

    internal static void Print(string scheme)
    {
        using var managed = new ManagedPair(scheme);
        using var abi = new AbiPair(scheme);
        double bytes = 2.0 * 2 * Layers * KvHeads * HeadDim * Tokens;
        double[] first = new double[Rounds], second = new double[Rounds];
        for (int i = -1; i < Rounds; i++)
        {
            double m = Seconds(managed.Run), a = Seconds(abi.Run);
            if (i < 0) continue;
            (first[i], second[i]) = (m, a);
        }

        double jit = Turns.Median(first), aot = Turns.Median(second);
        Console.WriteLine($"| {scheme}, {bytes / 1e9:0.00} GB, {Layers} layers | {bytes / jit / 1e9:0.00} | {bytes / aot / 1e9:0.00} | {jit / aot:0.00} |");
        managed.Attend(abi);
    }

    static double Seconds(Action run)
    {
        long started = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    internal static string Address(string scheme, string who) => scheme == "tcp" ? "tcp://127.0.0.1:0" : $"{scheme}://{(scheme == "loopback" ? "" : Path.GetTempPath())}kvh-bench-{Environment.ProcessId}-{who}";
}
