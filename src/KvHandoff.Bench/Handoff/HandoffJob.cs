using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Latency;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Stages;
using KvHandoff.Bench.Workers;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Handoff;

/// <summary>The main job: limits, real caches, a published shape, stages, projection.</summary>
internal sealed class HandoffJob(HandoffSettings settings, IJobDisplay display)
{
    internal async Task<Summary> RunAsync(CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        var failures = new List<string>();
        LimitsSection limits = await new MachineLimits(display).MeasureAsync(settings.UsedTransports, cancellationToken);
        if (settings.Sweep)
        {
            (IReadOnlyList<SweepRow> sweep, IReadOnlyList<FitRow> fits) = await new SweepRun(settings, display).RunAsync(settings.UsedTransports, cancellationToken);
            return new Summary { Environment = MachineDescription.Describe(), Limits = limits, Sweep = sweep, Fits = fits, ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds };
        }

        ReferenceSection? reference = null;
        KvCacheLayout? layout = null;
        if (settings.RunsReference)
        {
            using ReferenceModel model = ReferenceModel.Load();
            layout = model.Layout;
            reference = await new ReferenceHandoff(settings, display).RunAsync(model, failures, cancellationToken);
        }

        var transfers = new List<TransferRow>();
        var latencies = new List<LatencyRow>();
        if (settings.RunsShaped && settings.Fault == LandedFault.None)
        {
            foreach ((string transport, string codec, int samples) in ShapedTransfers())
            {
                if (transport == WorkerTransport.Ucx && KvHandoff.Transport.UcxTransport.Unavailable is { } missing)
                {
                    display.Note($"no transfer over ucx: {missing}");
                    continue;
                }

                (TransferRow transfer, LatencyRow? shortPrompt) = await new ShapedTransfer(settings, transport, display).RunAsync(codec, samples, limits, failures, cancellationToken);
                transfers.Add(transfer);
                if (shortPrompt is not null) latencies.Add(shortPrompt);
            }
        }

        if (layout is not null && settings.ShowsAllTransports)
        {
            foreach (string transport in (string[])[WorkerTransport.SharedMemory, WorkerTransport.Tcp]) latencies.Add(await new LatencyRun(settings, display).RunAsync(transport, layout, cancellationToken));
        }

        IReadOnlyList<PrefilledRow> prefilled = settings.ShowsAllTransports ? await new PrefilledTransfer(settings, display).RunAsync(limits, cancellationToken) : [];
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
            Projection = Projection.For(transfers, reference, layout?.LayerCount ?? 0),
            Stages = stages,
            Latencies = latencies,
            Prefilled = prefilled,
            Figures = Figures.Of(limits, transfers, latencies, prefilled),
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Failures = failures,
        };
    }

    // Every codec over the first transport; the others beside it, uncoded and with fewer repetitions unless they were asked for.
    private IEnumerable<(string Transport, string Codec, int Samples)> ShapedTransfers()
    {
        string raw = KvCodecs.Raw.Name;
        IEnumerable<string> codecs = settings.Codec is { } one ? [one] : settings.Model == HandoffSettings.All && settings.Transports is null ? HandoffSettings.ShownCodecs : [raw];
        foreach (string codec in codecs) yield return (settings.FirstTransport, codec, HandoffSettings.TransferSamples);
        foreach (string transport in settings.UsedTransports.Where(t => t != settings.FirstTransport))
            yield return (transport, settings.Codec ?? raw, settings.Transports is null ? HandoffSettings.ExtraTransferSamples : HandoffSettings.TransferSamples);
    }
}
