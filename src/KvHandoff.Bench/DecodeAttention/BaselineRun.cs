using System.Globalization;
using System.Runtime.InteropServices;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>libtorch's forms of one step in turns with the kernel in use, where the library is there.</summary>
internal sealed class BaselineRun(IJobDisplay display, KernelBuffers buffers)
{
    private const int LeastSamples = 3;
    private const string Implementation = "libtorch";

    private static readonly StoredKind Single = StoredKind.All.First(s => s.ElementType == ElementType.Float32);

    /// <summary>The step that is compared: BF16 rows, one thread.</summary>
    internal static bool Compares(AttentionCase what) => what == new AttentionCase(AttentionShape.Grouped8, StoredKind.BFloat16, AttentionCatalog.LongTokens);

    /// <summary>Measures what there is.</summary>
    /// <param name="what">The step.</param>
    /// <param name="plain">Its BF16 rows.</param>
    /// <param name="rows">Receives the rows.</param>
    /// <param name="cancellationToken">Ends the run.</param>
    internal BaselineSection Run(AttentionCase what, BlockRows plain, List<KernelRow> rows, CancellationToken cancellationToken)
    {
        display.Begin($"{what.Subject} {Implementation}");
        if (TorchBaseline.TryLoad(out string? reason) is not { } torch)
        {
            display.End($"not measured: {reason}");
            return new BaselineSection { Absent = reason };
        }

        BaselineSection section = Measure(torch, what, plain, rows, cancellationToken);
        display.End(string.Create(CultureInfo.InvariantCulture, $"{section.Library}: best form {section.BestForm}; tokens per second of ours over it: {section.OursOverBest:0.00}"));
        return section;
    }

    private BaselineSection Measure(TorchBaseline torch, AttentionCase what, BlockRows plain, List<KernelRow> rows, CancellationToken cancellationToken)
    {
        // Head-major already: the rows that the blocks were filled with.
        NativeSlab keys = BlockRows.Source(buffers, what.Group, KvPlane.Key, plain.Tokens), values = BlockRows.Source(buffers, what.Group, KvPlane.Value, plain.Tokens);
        int elements = what.Shape.KvHeads * what.Shape.RowElements * what.Tokens;
        using NativeSlab wideKeys = Widen(keys, elements), wideValues = Widen(values, elements);
        var steps = new List<(AttentionCase Case, TorchForm Form, TorchBaseline.Step Step)>();
        try
        {
            foreach (TorchForm form in Enum.GetValues<TorchForm>()) steps.Add((what, form, torch.Create(keys.Address, values.Address, what.Shape, what.Tokens, isBFloat16: true, form)));
            foreach (TorchForm form in Enum.GetValues<TorchForm>())
                steps.Add((what with { Stored = Single }, form, torch.Create(wideKeys.Address, wideValues.Address, what.Shape, what.Tokens, isBFloat16: false, form)));

            AttentionStep ours = AttentionRun.StepsOf(what, plain)[0];
            var limits = new AttentionLimits(plain.Memory, what.Bytes, what.Threads);
            Action[] actions = [ours.Run, limits.Read, .. steps.Select(s => (Action)s.Step.Run)];
            // Whatever threads libtorch has, their time counts as ours does.
            double[][] seconds = InterleavedTiming.Turns(actions, SampleClock.Process, 0, 0, LeastSamples, cancellationToken);
            double own = Median.Of(seconds[0]);
            AttentionReference reference = AttentionReference.OfStored(what, plain);
            for (int i = 0; i < steps.Count; i++)
            {
                (AttentionCase step, TorchForm form, TorchBaseline.Step run) = steps[i];
                // FP32 rows are as many elements in twice the bytes.
                double[] read = [.. seconds[1].Select(s => s * step.Bytes / what.Bytes)];
                var turn = new AttentionTurn(SampleClock.Process.Name, read, [], AttentionStep.HasNative ? own : null);
                rows.Add(AttentionRows.Row(step, $"{step.Subject} {Implementation} {NameOf(form)}", Implementation, seconds[2 + i], turn, reference.Error(run.Output), null, 0));
            }

            int best = Enumerable.Range(0, steps.Count).Where(i => steps[i].Case == what).MinBy(i => Median.Of(seconds[2 + i]));
            return new BaselineSection { Library = torch.Version, BestForm = NameOf(steps[best].Form), OursOverBest = Median.Of(seconds[2 + best]) / own };
        }
        finally
        {
            foreach ((_, _, TorchBaseline.Step step) in steps) step.Dispose();
        }
    }

    private static NativeSlab Widen(NativeSlab rows, int elements)
    {
        NativeSlab wide = NativeSlab.Allocate((long)elements * sizeof(float));
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(rows.Span(0, elements * sizeof(ushort))), MemoryMarshal.Cast<byte, float>(wide.Span(0, elements * sizeof(float))));
        return wide;
    }

    private static string NameOf(TorchForm form) => form switch
    {
        TorchForm.Bmm => "bmm",
        TorchForm.TransposedKeys => "transposed",
        _ => "tiles",
    };
}
