using System.Diagnostics;
using System.Globalization;
using KvHandoff.Attention;
using KvHandoff.Bench.DecodeAttention;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>
/// Every kernel beside its limit, quickly: in cache and from memory, both taken in turns on one thread, medians of the time that the
/// thread had a processor for.
/// </summary>
internal sealed class KernelRun(IJobDisplay display)
{
    private const double WarmUpSeconds = 0.3, CacheWarmUpSeconds = 0.03, CacheBudgetSeconds = 0.3, MemoryBudgetSeconds = 0.3;

    internal KernelSummary Run(IReadOnlyList<KernelDefinition> kernels, IReadOnlyList<AttentionCase> attention, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        var rows = new List<KernelRow>();
        var failures = new List<string>();
        using var buffers = new KernelBuffers(KernelSize.Memory);
        foreach (KernelDefinition kernel in kernels)
        {
            display.Begin(kernel.BaseName);
            cancellationToken.ThrowIfCancellationRequested();
            KernelRow cache, memory;
            try
            {
                // What is called often gets recompiled in the background: there is time for that while the slower runs from memory go on.
                WarmUp(kernel, buffers);
                memory = Measure(kernel, KernelSize.Memory, buffers, failures, cancellationToken);
                cache = Measure(kernel, KernelSize.Cache, buffers, failures, cancellationToken);
            }
            catch (NotSupportedException e)
            {
                display.End($"not measured: {e.Message}");
                continue;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                failures.Add($"{kernel.BaseName}: {e.Message}");
                display.End("failed");
                continue;
            }

            rows.Add(cache);
            rows.Add(memory);
            display.End(string.Create(CultureInfo.InvariantCulture,
                $"in cache {cache.Gbps:0.0} GB/s = {cache.Ratio:0.00}x {cache.Limit}, from memory {memory.Gbps:0.0} GB/s = {memory.Ratio:0.00}x {memory.Limit}"));
        }

        AttentionSection? section = attention.Count == 0 ? null : RunAttention(attention, buffers, rows, failures, cancellationToken);
        return new KernelSummary
        {
            Environment = MachineDescription.Describe(),
            Clock = ThreadClock.Name,
            Kernels = rows,
            Attention = section,
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Failures = failures,
        };
    }

    private AttentionSection RunAttention(IReadOnlyList<AttentionCase> cases, KernelBuffers buffers, List<KernelRow> rows, List<string> failures, CancellationToken cancellationToken)
    {
        var section = new AttentionSection
        {
            InUse = AttentionKernels.InUse,
            NativeTargets = [.. AttentionKernels.NativeTargets.Select(t => new NativeTargetRow(t.Name, t.Supported))],
            ReasonManaged = AttentionKernels.ReasonManaged,
        };
        display.Begin("attention kernels");
        display.End(section.Describe());
        using var run = new AttentionRun(display, buffers, failures);
        // Not measured with the others: libtorch starts threads of its own, and while it is slow nothing else should wait.
        rows.AddRange(run.Run(cases, cancellationToken));
        return cases.FirstOrDefault(BaselineRun.Compares) is { } compared
            ? section with { Baseline = new BaselineRun(display, buffers).Run(compared, run.Plain(compared.Shape, compared.Tokens), rows, cancellationToken) }
            : section;
    }

    private static void WarmUp(KernelDefinition kernel, KernelBuffers buffers)
    {
        using KernelWorkload work = kernel.Create(buffers, KernelSize.Cache);
        foreach (Action action in work.Limits.Select(l => l.Run).Prepend(work.Run)) InterleavedTiming.WarmUp(action, WarmUpSeconds);
    }

    private static KernelRow Measure(KernelDefinition kernel, KernelSize size, KernelBuffers buffers, List<string> failures, CancellationToken cancellationToken)
    {
        using KernelWorkload work = kernel.Create(buffers, size);
        bool cached = size == KernelSize.Cache;
        InterleavedTiming timing = InterleavedTiming.Measure(work.Run, [.. work.Limits.Select(l => l.Run)],
            cached ? CacheWarmUpSeconds : 0, cached ? CacheBudgetSeconds : MemoryBudgetSeconds, cancellationToken);
        long before = GC.GetAllocatedBytesForCurrentThread();
        work.Run();
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (cached && work.Check() is { } wrong) failures.Add($"{kernel.Name(size)}: {wrong}");
        int limit = timing.SlowestLimit;
        long bytes = kernel.CountedBytes(size);
        double Rate(double seconds) => bytes / seconds / 1e9;
        double gbps = Rate(timing.KernelMedian), limitGbps = Rate(Median.Of(timing.LimitSeconds[limit]));
        return new KernelRow
        {
            Name = kernel.Name(size),
            Isa = InstructionSet.Name,
            VectorBits = InstructionSet.VectorBits,
            Implementation = kernel.Implementation,
            Gbps = gbps,
            Limit = work.Limits[limit].Name,
            LimitGbps = limitGbps,
            Ratio = gbps / limitGbps,
            AllocatedBytes = allocated,
            CountedBytes = bytes,
            Counts = kernel.Counts,
            WorkingSet = KernelShape.NameOf(size),
            Data = kernel.Data,
            CompressionRatio = work.CompressionRatio,
            GbpsSamples = [.. timing.KernelSeconds.Select(Rate)],
            LimitGbpsSamples = [.. timing.LimitSeconds[limit].Select(Rate)],
        };
    }
}
