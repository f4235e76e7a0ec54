using System.Globalization;
using System.Text;

namespace KvHandoff.Gateway.Metrics;

/// <summary>Counts of seconds by bucket, in Prometheus' form. Thread-safe.</summary>
internal sealed class Histogram(string name, string help)
{
    private static readonly double[] Bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

    private readonly long[] _counts = new long[Bounds.Length + 1];
    private long _sumMicroseconds;

    internal void Observe(double seconds)
    {
        int bucket = 0;
        while (bucket < Bounds.Length && seconds > Bounds[bucket]) bucket++;
        Interlocked.Increment(ref _counts[bucket]);
        Interlocked.Add(ref _sumMicroseconds, (long)(seconds * 1e6));
    }

    internal void Write(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} histogram\n");
        long count = 0;
        for (int i = 0; i < Bounds.Length; i++)
        {
            count += Interlocked.Read(ref _counts[i]);
            text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{le=\"{Bounds[i]}\"}} {count}\n");
        }

        count += Interlocked.Read(ref _counts[Bounds.Length]);
        text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {Interlocked.Read(ref _sumMicroseconds) / 1e6}\n{name}_count {count}\n");
    }
}
