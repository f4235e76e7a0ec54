using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Evaluation;

/// <summary>Lines for logs and pipes: one per load, and one every few seconds in between. Writes nothing when quiet.</summary>
internal sealed class PlainProgress(TextWriter? output) : IEvaluationProgress
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly Lock _lock = new();
    private long _written;
    private int _ended, _failed;
    private int _expected;

    public void Step(string text) => Write(text + " ...");

    public void LoadStarted(LoadSpec load, string route, int requests)
    {
        lock (_lock) _expected += requests;
        Write($"{load.Name}, {route}: {requests} requests ...");
    }

    public void RequestEnded(LoadSpec load, RequestRecord record)
    {
        if (record.Phase != Outcomes.Measured) return;
        lock (_lock)
        {
            _ended++;
            if (record.Outcome == Outcomes.Error) _failed++;
            if (Stopwatch.GetElapsedTime(_written) < Interval && record.Outcome == Outcomes.Ok) return;
            if (record.Outcome == Outcomes.Error) Write($"  {record.PromptType} failed: {record.Error!.Label}: {record.Error.Message}");
            else Write(string.Create(CultureInfo.InvariantCulture, $"  {load.Name}: {_ended} of {_expected} requests, {_failed} failed; last: {record.PromptType} in {record.Client.LatencySeconds:0.000} s"));
        }
    }

    public void LoadEnded(LoadSection section)
    {
        string latency = section.Stages is [{ } all, ..] && all.Metrics.TryGetValue(MetricNames.Latency, out MetricStatistics? m) ? string.Create(CultureInfo.InvariantCulture, $", latency p50 {m.P50:0.000} s, p99 {m.P99:0.000} s") : "";
        Write(string.Create(CultureInfo.InvariantCulture, $"{Findings.Name(section)}: {section.Ok} ok, {section.Failed} failed, {section.Throughput.RequestsPerSecond:0.00} req/s{latency}"));
    }

    private void Write(string line)
    {
        if (output is null) return;
        lock (_lock)
        {
            _written = Stopwatch.GetTimestamp();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"[{Stopwatch.GetElapsedTime(_started).TotalSeconds,6:0.0} s] {line}"));
            output.Flush();
        }
    }
}
