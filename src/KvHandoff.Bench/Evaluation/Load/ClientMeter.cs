using System.Diagnostics;
using KvHandoff.Bench.Evaluation.Statistics;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>What this process takes while a load runs, and how late its own timers are: a client that is busy stamps arrivals late.</summary>
internal sealed class ClientMeter : IDisposable
{
    internal const double SaturatedShare = 0.8, SaturatedDelaySeconds = 0.01;
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(10);
    private readonly TimeSpan _cpu = Environment.CpuUsage.TotalTime, _pause = GC.GetTotalPauseDuration();
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly CancellationTokenSource _stop = new();
    private readonly List<double> _delays = [];
    private readonly Task _beating;

    internal ClientMeter() => _beating = BeatAsync();

    /// <summary>Ends the measurement and gives what it found.</summary>
    internal async Task<ClientLoadSection> StopAsync()
    {
        double seconds = Stopwatch.GetElapsedTime(_started).TotalSeconds, cpu = (Environment.CpuUsage.TotalTime - _cpu).TotalSeconds;
        await _stop.CancelAsync();
        await _beating;
        return Section(seconds, cpu, (GC.GetTotalPauseDuration() - _pause).TotalSeconds, _delays);
    }

    /// <summary>Several turns of one load as one.</summary>
    internal static ClientLoadSection Add(ClientLoadSection first, double firstSeconds, ClientLoadSection second, double secondSeconds) =>
        Section(firstSeconds + secondSeconds, first.CpuSeconds + second.CpuSeconds, first.GcPauseSeconds + second.GcPauseSeconds, new[] { first.TimerDelayP99Seconds, second.TimerDelayP99Seconds }.OfType<double>());

    public void Dispose()
    {
        _stop.Cancel();
        _stop.Dispose();
    }

    private static ClientLoadSection Section(double seconds, double cpu, double pause, IEnumerable<double> delays)
    {
        double[] sorted = [.. delays.Order()];
        double? cores = seconds > 0 ? cpu / seconds : null, delay = sorted.Length > 0 ? Percentile.OfSorted(sorted, 0.99) : null, share = cores / Environment.ProcessorCount;
        return new ClientLoadSection { CpuSeconds = cpu, CoresUsed = cores, CpuShare = share, GcPauseSeconds = pause, TimerDelayP99Seconds = delay, Saturated = share > SaturatedShare || delay > SaturatedDelaySeconds };
    }

    private async Task BeatAsync()
    {
        try
        {
            while (true)
            {
                long before = Stopwatch.GetTimestamp();
                await Task.Delay(Beat, _stop.Token);
                _delays.Add(Math.Max(0, (Stopwatch.GetElapsedTime(before) - Beat).TotalSeconds));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
