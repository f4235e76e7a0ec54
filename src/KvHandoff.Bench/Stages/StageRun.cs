using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Stages;

/// <summary>Runs the stage benchmarks in this process, briefly, and sets each stage beside the limit measured in the same run.</summary>
internal static class StageRun
{
    private const int WarmUps = 4, Iterations = 5, OperationsPerIteration = 2;

    private static readonly (string Method, string Name, string Limit)[] Stages =
    [
        (nameof(StageBenchmarks.Gather), "gather", "memcpy"),
        (nameof(StageBenchmarks.Convert), "convert bf16->fp8", "memcpy"),
        (nameof(StageBenchmarks.Restore), "convert fp8->bf16", "memcpy"),
        (nameof(StageBenchmarks.Checksum), "checksum crc-32c", "read"),
        (nameof(StageBenchmarks.Frame), "frame", "memcpy"),
        (nameof(StageBenchmarks.Place), "place", "memcpy"),
        (nameof(StageBenchmarks.Attend), "attend", "read"),
    ];

    internal static IReadOnlyList<StageRow> Run(string outputDirectory)
    {
        Directory.CreateDirectory(outputDirectory);
        using var log = new StreamWriter(Path.Combine(outputDirectory, "stages.log"));
        Job job = Job.Default.WithToolchain(InProcessEmitToolchain.Instance)
            .WithLaunchCount(1).WithWarmupCount(WarmUps).WithIterationCount(Iterations).WithInvocationCount(OperationsPerIteration).WithUnrollFactor(1);
        IConfig config = ManualConfig.CreateEmpty().AddJob(job).AddLogger(new StreamLogger(log)).AddColumnProvider(DefaultColumnProviders.Instance)
            .AddDiagnoser(MemoryDiagnoser.Default).WithArtifactsPath(Path.Combine(outputDirectory, "BenchmarkDotNet"));
        BenchmarkDotNet.Reports.Summary summary = BenchmarkRunner.Run<StageBenchmarks>(config);
        return Rows(summary);
    }

    private static IReadOnlyList<StageRow> Rows(BenchmarkDotNet.Reports.Summary summary)
    {
        Dictionary<string, BenchmarkReport> reports = summary.Reports.Where(r => r.Success && r.ResultStatistics is not null)
            .ToDictionary(r => r.BenchmarkCase.Descriptor.WorkloadMethod.Name);
        if (!reports.TryGetValue(nameof(StageBenchmarks.Memcpy), out BenchmarkReport? memcpy) || !reports.TryGetValue(nameof(StageBenchmarks.Read), out BenchmarkReport? read)) return [];
        var limits = new Dictionary<string, double> { ["memcpy"] = Median.Of(Rates(memcpy)), ["read"] = Median.Of(Rates(read)) };
        var rows = new List<StageRow>();
        foreach ((string method, string name, string limit) in Stages)
        {
            if (!reports.TryGetValue(method, out BenchmarkReport? report)) continue;
            double[] rates = Rates(report);
            double gbps = Median.Of(rates);
            rows.Add(new StageRow
            {
                Name = name,
                Gbps = gbps,
                Limit = limit,
                LimitGbps = limits[limit],
                Ratio = gbps / limits[limit],
                AllocatedBytes = report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase) ?? 0,
                NanosecondsPerFrame = StageBenchmarks.Bytes / gbps / StageBenchmarks.Frames,
                GbpsSamples = rates,
            });
        }

        return rows;
    }

    private static double[] Rates(BenchmarkReport report) => [.. report.ResultStatistics!.OriginalValues.Select(nanoseconds => StageBenchmarks.Bytes / nanoseconds)];
}
