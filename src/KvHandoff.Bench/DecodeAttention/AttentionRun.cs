using System.Globalization;
using KvHandoff.Attention;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>
/// Decode attention, step by step: the native and the managed kernels, their limits, and the native kernel on BF16 rows, all in turns;
/// then their errors against double precision.
/// </summary>
internal sealed class AttentionRun(IJobDisplay display, KernelBuffers buffers, List<string> failures) : IDisposable
{
    private const double BudgetSeconds = 0.3;
    private const int LeastSamples = 5;

    // A wrong kernel, not a rough one, is further off.
    private const double PlainTolerance = 1e-4, QuantisedTolerance = 1e-3, RoundedWeightsTolerance = 1e-2;

    private BlockRows? _plain;
    private AttentionShape? _plainShape;

    /// <summary>Rows of every case, native before managed.</summary>
    internal List<KernelRow> Run(IReadOnlyList<AttentionCase> cases, CancellationToken cancellationToken)
    {
        var rows = new List<KernelRow>();
        // Whole tiles of any number can be read from one cache; what ends within a tile has a cache of its own, with a tail.
        foreach (IGrouping<object, AttentionCase> group in cases.GroupBy(c => (object)(c.Shape, c.Stored, c.Tokens % KvSegmentTokens == 0)))
        {
            AttentionCase longest = group.MaxBy(c => c.Tokens)!;
            BlockRows plain = Plain(longest.Shape, longest.Tokens);
            using BlockRows? own = longest.Stored == StoredKind.BFloat16 ? null : new BlockRows(buffers, longest.Group, longest.Tokens);
            foreach (AttentionCase what in group)
            {
                cancellationToken.ThrowIfCancellationRequested();
                display.Begin(what.Name);
                KernelRow[] measured = [.. Measure(what, own ?? plain, plain, cancellationToken)];
                rows.AddRange(measured);
                display.End(string.Join("; ", measured.Select(Describe)));
            }
        }

        return rows;
    }

    public void Dispose() => _plain?.Dispose();

    /// <summary>One line of a row.</summary>
    internal static string Describe(KernelRow row) => string.Create(CultureInfo.InvariantCulture,
        $"{row.Implementation} {row.Gbps:0.0} GB/s, {row.Attention!.NanosecondsPerToken:0} ns/token, {row.Ratio:0.00}x {row.Limit}, {row.Attention.OfRead:0.00}x read, error {row.Attention.MaxError:0.0e+0}");

    /// <summary>BF16 rows of a shape: kept until another shape comes.</summary>
    internal BlockRows Plain(AttentionShape shape, int tokens)
    {
        if (_plain is not null && _plainShape == shape && _plain.Tokens >= tokens) return _plain;
        _plain?.Dispose();
        _plainShape = shape;
        return _plain = new BlockRows(buffers, shape.Group, tokens);
    }

    private const int KvSegmentTokens = Layout.KvSegment.GranuleTokens;

    private IEnumerable<KernelRow> Measure(AttentionCase what, BlockRows rows, BlockRows plain, CancellationToken cancellationToken)
    {
        AttentionStep[] steps = StepsOf(what, rows);
        AttentionStep? native = steps.Length > 1 ? steps[0] : null;
        bool isYardstick = what == AttentionCatalog.Yardstick(what);
        AttentionStep? yardstick = native is null ? null : isYardstick ? native : new AttentionStep(AttentionCatalog.Yardstick(what), plain, isNative: true);
        var limits = new AttentionLimits(rows.Memory, what.Bytes, what.Threads);
        List<Action> actions = [limits.Read, limits.Multiply, .. steps.Select(s => (Action)s.Run)];
        if (yardstick is not null && !isYardstick) actions.Add(yardstick.Run);
        SampleClock clock = what.Threads == 1 ? SampleClock.Thread : SampleClock.Wall;
        double[][] seconds = InterleavedTiming.Turns(actions, clock, 0, BudgetSeconds, LeastSamples, cancellationToken);
        if (double.IsNaN(limits.Sum)) failures.Add($"{what.Name}: the multiply-adds of the limit gave NaN.");

        double share = (double)what.MultiplyAdds / limits.MultiplyAdds;
        double? yardstickSeconds = yardstick is null ? null : Median.Of(isYardstick ? seconds[2] : seconds[^1]);
        var turn = new AttentionTurn(clock.Name, seconds[0], [.. seconds[1].Select(s => s * share)], yardstickSeconds);
        AttentionReference stored = AttentionReference.OfStored(what, rows);
        AttentionReference? source = what.Stored.IsQuantised ? AttentionReference.OfSource(what, buffers, rows.Tokens) : null;
        for (int i = 0; i < steps.Length; i++)
        {
            AttentionStep step = steps[i];
            long before = GC.GetAllocatedBytesForCurrentThread();
            step.Run();
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            double error = stored.Error(step.Output);
            Judge(what, step, error);
            yield return AttentionRows.Row(what, what.Name, step.Implementation, seconds[2 + i], turn, error, source?.Error(step.Output), allocated);
        }
    }

    /// <summary>The native step, where there is such a kernel for it, and the managed one.</summary>
    internal static AttentionStep[] StepsOf(AttentionCase what, BlockRows rows)
    {
        var managed = new AttentionStep(what, rows, isNative: false);
        if (!AttentionStep.HasNative) return [managed];
        var native = new AttentionStep(what, rows, isNative: true);
        return native.Implementation == managed.Implementation ? [managed] : [native, managed];
    }

    private void Judge(AttentionCase what, AttentionStep step, double error)
    {
        double most = what.Weights == SoftmaxWeights.BFloat16 ? RoundedWeightsTolerance : what.Stored.IsQuantised ? QuantisedTolerance : PlainTolerance;
        if (!(error <= most)) failures.Add(string.Create(CultureInfo.InvariantCulture, $"{what.Name}, {step.Implementation}: the output is off by {error:0.0e+0} of its largest element; allowed: {most:0.0e+0}."));
    }
}
