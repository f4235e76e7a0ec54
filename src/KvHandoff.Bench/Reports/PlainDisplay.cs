using System.Diagnostics;
using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>One line per event, for logs and pipes. Writes nothing when quiet.</summary>
internal sealed class PlainDisplay(TextWriter? output) : IJobDisplay
{
    private readonly long _started = Stopwatch.GetTimestamp();

    public void Begin(string step) => Write($"{step} ...");

    public void End(string result) => Write($"  {result}");

    public void Note(string text) => Write($"  {text}");

    private void Write(string line)
    {
        output?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"[{Stopwatch.GetElapsedTime(_started).TotalSeconds,6:0.0} s] {line}"));
        output?.Flush();
    }
}
