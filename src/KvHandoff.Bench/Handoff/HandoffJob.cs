using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Stages;
using KvHandoff.Codec;

namespace KvHandoff.Bench.Handoff;

/// <summary>The main job: limits, real caches, a published shape, stages, projection.</summary>
internal sealed class HandoffJob(HandoffSettings settings, IJobDisplay display)
{
    private const int LimitSamples = 5;

    internal async Task<Summary> RunAsync(CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        var failures = new List<string>();
        LimitsSection limits = await LimitsAsync(cancellationToken);
        ReferenceSection? reference = null;
        int referenceLayers = 0;
        if (settings.RunsReference)
        {
            using ReferenceModel model = ReferenceModel.Load();
            referenceLayers = model.Layout.LayerCount;
            reference = await new ReferenceHandoff(settings, display).RunAsync(model, failures, cancellationToken);
        }

        var transfers = new List<TransferRow>();
        if (settings.RunsShaped && settings.Fault == LandedFault.None)
        {
            IEnumerable<string> codecs = settings.Codec is { } one ? [one] : settings.Model == HandoffSettings.All ? HandoffSettings.ShownCodecs : [KvCodecs.Raw.Name];
            foreach (string codec in codecs) transfers.Add(await new ShapedTransfer(settings, display).RunAsync(codec, limits, failures, cancellationToken));
        }

        IReadOnlyList<StageRow> stages = [];
        if (!settings.SkipStages)
        {
            display.Begin("stages, each alone on one thread (BenchmarkDotNet)");
            stages = await Task.Run(() => StageRun.Run(settings.OutputDirectory), cancellationToken);
            if (stages.Count == 0) failures.Add("No stage was measured; see stages.log in the output directory.");
            display.End(string.Join(", ", stages.Select(s => string.Create(CultureInfo.InvariantCulture, $"{s.Name} {s.Gbps:0.0} GB/s"))));
        }

        return new Summary
        {
            Environment = MachineDescription.Describe(),
            Limits = limits,
            Reference = reference,
            Transfers = transfers,
            Projection = Projection.For(transfers, reference, referenceLayers),
            Stages = stages,
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Failures = failures,
        };
    }

    private async Task<LimitsSection> LimitsAsync(CancellationToken cancellationToken)
    {
        display.Begin("limits of this machine: copy, read, bare TCP loopback");
        double[] copy = await Task.Run(() => MemoryLimits.Copy(LimitSamples), cancellationToken);
        double[] read = await Task.Run(() => MemoryLimits.Read(LimitSamples), cancellationToken);
        double[] tcp = await TcpLoopbackLimit.MeasureAsync(LimitSamples, cancellationToken);
        var limits = new LimitsSection
        {
            MemcpyGbps = Median.Of(copy),
            ReadGbps = Median.Of(read),
            TcpLoopbackGbps = Median.Of(tcp),
            BufferBytes = MemoryLimits.BufferBytes,
            MemcpySamples = copy,
            ReadSamples = read,
            TcpLoopbackSamples = tcp,
        };
        display.End(string.Create(CultureInfo.InvariantCulture, $"copy {limits.MemcpyGbps:0.0} GB/s, read {limits.ReadGbps:0.0} GB/s, TCP {limits.TcpLoopbackGbps:0.0} GB/s"));
        return limits;
    }
}
