using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using KvHandoff.Bench.DecodeAttention;

namespace KvHandoff.Bench.Kernels;

/// <summary>GB/s of the bytes that a kernel counts, and that rate over the one of their limit; a dash for other benchmarks.</summary>
internal sealed class RateColumn(string name, string legend, Func<double, double, double, double> value, string format) : IColumn
{
    /// <summary>Counted bytes per second.</summary>
    internal static IColumn Gbps { get; } = new RateColumn("GB/s", "Bytes that the kernel counts (1e9) per second of the median", (bytes, nanoseconds, _) => bytes / nanoseconds, "0.00");

    /// <summary>The same relative to the suite's baseline.</summary>
    internal static IColumn OfLimit { get; } = new RateColumn("of limit", "Rate over that of a copy of the same bytes; of attention, over that of reading them on as many threads", (_, nanoseconds, limit) => limit / nanoseconds, "0.00");

    public string Id => nameof(RateColumn) + name;

    public string ColumnName => name;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => legend;

    public bool IsAvailable(BenchmarkDotNet.Reports.Summary summary) => summary.BenchmarksCases.Any(b => CountedBytes(b) is not null);

    public bool IsDefault(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

    public string GetValue(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        if (CountedBytes(benchmarkCase) is not { } bytes || Median(summary, benchmarkCase) is not { } nanoseconds) return "-";
        BenchmarkCase? limit = summary.BenchmarksCases.FirstOrDefault(b =>
            b.Descriptor.Type == benchmarkCase.Descriptor.Type && b.Descriptor.Baseline && b.Job.Equals(benchmarkCase.Job) && b.Parameters.DisplayInfo == benchmarkCase.Parameters.DisplayInfo);
        double limitNanoseconds = limit is null ? double.NaN : Median(summary, limit) ?? double.NaN;
        return value(bytes, nanoseconds, limitNanoseconds).ToString(format, CultureInfo.InvariantCulture);
    }

    private static long? CountedBytes(BenchmarkCase benchmark)
    {
        if (benchmark.Descriptor.Type == typeof(AttentionBenchmarks)) return AttentionBenchmarks.CountedBytes(benchmark);
        return benchmark.Descriptor.Type.IsSubclassOf(typeof(KernelSuite))
            && benchmark.Parameters[nameof(KernelSuite.Kernel)] is string kernel && benchmark.Parameters[nameof(KernelSuite.WorkingSet)] is KernelSize size
            ? KernelCatalog.Find(kernel).CountedBytes(size)
            : null;
    }

    private static double? Median(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmark) => summary[benchmark]?.ResultStatistics?.Median;
}
