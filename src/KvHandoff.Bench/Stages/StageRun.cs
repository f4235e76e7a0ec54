using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
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
    private const int WarmUps = 4, Iterations = 11, OperationsPerIteration = 2;

    private static readonly (string Method, string Name, string Limit, Action<StageBenchmarks> Run)[] Stages =
    [
        (nameof(StageBenchmarks.Gather), "gather", "memcpy", b => b.Gather()),
        (nameof(StageBenchmarks.Convert), "convert bf16->fp8", "memcpy", b => b.Convert()),
        (nameof(StageBenchmarks.Restore), "convert fp8->bf16", "memcpy", b => b.Restore()),
        (nameof(StageBenchmarks.Checksum), "checksum crc-32c", "read", b => b.Checksum()),
        (nameof(StageBenchmarks.Frame), "frame", "memcpy", b => b.Frame()),
        (nameof(StageBenchmarks.Place), "place", "memcpy", b => b.Place()),
        (nameof(StageBenchmarks.Attend), "attend", "read", b => b.Attend()),
    ];

    internal static IReadOnlyList<StageRow> Run(string outputDirectory)
    {
        Directory.CreateDirectory(outputDirectory);
        using var log = new StreamWriter(Path.Combine(outputDirectory, "stages.log"));
        Job job = Job.Default.WithToolchain(InProcessEmitToolchain.Instance)
            .WithLaunchCount(1).WithWarmupCount(WarmUps).WithIterationCount(Iterations).WithInvocationCount(OperationsPerIteration).WithUnrollFactor(1);
        IConfig config = ManualConfig.CreateEmpty().AddJob(job).AddLogger(new StreamLogger(log)).AddColumnProvider(DefaultColumnProviders.Instance)
            .WithArtifactsPath(Path.Combine(outputDirectory, "BenchmarkDotNet"));
        BenchmarkDotNet.Reports.Summary summary = BenchmarkRunner.Run<StageBenchmarks>(config);
        return Rows(summary, AllocatedBytes());
    }

    // MemoryDiagnoser counts the whole process, where two operations of 50 ms drown in what the runtime's own threads allocate.
    private static Dictionary<string, long> AllocatedBytes()
    {
        var benchmarks = new StageBenchmarks();
        benchmarks.SetUp();
        var allocated = new Dictionary<string, long>();
        foreach ((string method, _, _, Action<StageBenchmarks> run) in Stages)
        {
            run(benchmarks);
            long before = GC.GetAllocatedBytesForCurrentThread();
            run(benchmarks);
            allocated[method] = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        benchmarks.CleanUp();
        return allocated;
    }

    private static IReadOnlyList<StageRow> Rows(BenchmarkDotNet.Reports.Summary summary, Dictionary<string, long> allocated)
    {
        Dictionary<string, BenchmarkReport> reports = summary.Reports.Where(r => r.Success && r.ResultStatistics is not null)
            .ToDictionary(r => r.BenchmarkCase.Descriptor.WorkloadMethod.Name);
        if (!reports.TryGetValue(nameof(StageBenchmarks.Memcpy), out BenchmarkReport? memcpy) || !reports.TryGetValue(nameof(StageBenchmarks.Read), out BenchmarkReport? read)) return [];
        var limits = new Dictionary<string, double> { ["memcpy"] = Median.Of(Rates(memcpy)), ["read"] = Median.Of(Rates(read)) };
        var rows = new List<StageRow>();
        foreach ((string method, string name, string limit, _) in Stages)
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
                AllocatedBytes = allocated[method],
                NanosecondsPerFrame = StageBenchmarks.Bytes / gbps / StageBenchmarks.Frames,
                GbpsSamples = rates,
            });
        }

        return rows;
    }

    private static double[] Rates(BenchmarkReport report) => [.. report.ResultStatistics!.OriginalValues.Select(nanoseconds => StageBenchmarks.Bytes / nanoseconds)];
}
