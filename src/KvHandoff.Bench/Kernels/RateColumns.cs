using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace KvHandoff.Bench.Kernels;

/// <summary>GB/s of the bytes that a kernel counts, and that rate over the rate of a copy of them; a dash for other benchmarks.</summary>
internal sealed class RateColumn(string name, string legend, Func<double, double, double, double> value, string format) : IColumn
{
    /// <summary>Counted bytes per second.</summary>
    internal static IColumn Gbps { get; } = new RateColumn("GB/s", "Bytes that the kernel counts (1e9) per second of the median", (bytes, nanoseconds, _) => bytes / nanoseconds, "0.00");

    /// <summary>The same relative to memcpy.</summary>
    internal static IColumn OfMemcpy { get; } = new RateColumn("of memcpy", "Rate over that of a copy of the same bytes", (_, nanoseconds, copy) => copy / nanoseconds, "0.00");

    public string Id => nameof(RateColumn) + name;

    public string ColumnName => name;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => legend;

    public bool IsAvailable(BenchmarkDotNet.Reports.Summary summary) => summary.BenchmarksCases.Any(b => b.Descriptor.Type.IsSubclassOf(typeof(KernelSuite)));

    public bool IsDefault(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

    public string GetValue(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        if (!benchmarkCase.Descriptor.Type.IsSubclassOf(typeof(KernelSuite))
            || Key(benchmarkCase) is not { } key || Median(summary, benchmarkCase) is not { } nanoseconds)
            return "-";
        long bytes = KernelCatalog.Find(key.Kernel).CountedBytes(key.WorkingSet);
        BenchmarkCase? copy = summary.BenchmarksCases.FirstOrDefault(b =>
            b.Descriptor.Type == benchmarkCase.Descriptor.Type && b.Descriptor.Baseline && b.Job.Equals(benchmarkCase.Job) && Key(b) == key);
        double copyNanoseconds = copy is null ? double.NaN : Median(summary, copy) ?? double.NaN;
        return value(bytes, nanoseconds, copyNanoseconds).ToString(format, CultureInfo.InvariantCulture);
    }

    private static (string Kernel, KernelSize WorkingSet)? Key(BenchmarkCase benchmark) =>
        benchmark.Parameters[nameof(KernelSuite.Kernel)] is string kernel && benchmark.Parameters[nameof(KernelSuite.WorkingSet)] is KernelSize size ? (kernel, size) : null;

    private static double? Median(BenchmarkDotNet.Reports.Summary summary, BenchmarkCase benchmark) => summary[benchmark]?.ResultStatistics?.Median;
}
