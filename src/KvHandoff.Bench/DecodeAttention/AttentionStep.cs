using KvHandoff.Attention;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>One decode step by chosen kernels. <see cref="Run"/> allocates nothing but what the kernels do.</summary>
internal sealed class AttentionStep
{
    // Logits of the seeded rows then spread by one or two.
    private const double QueryDeviation = 0.5;
    private const ulong QuerySeed = 0x51554552;

    private readonly AttentionCase _what;
    private readonly BlockRows _rows;
    private readonly KernelTarget _target;
    private readonly AttentionOptions _options;
    private readonly DecodeAttentionBatch? _batch;
    private readonly AttentionThreads? _threads;
    private readonly float[] _logSumExp;

    /// <param name="what">The step.</param>
    /// <param name="rows">Its rows, at least as many tokens.</param>
    /// <param name="isNative">The native kernels in use, else the managed ones.</param>
    internal AttentionStep(AttentionCase what, BlockRows rows, bool isNative)
    {
        AttentionShape shape = what.Shape;
        (_what, _rows) = (what, rows);
        _target = isNative ? KernelTarget.InUse with { Fastest = false } : new KernelTarget(InstructionSet.VectorBits);
        _options = new AttentionOptions(shape.SoftmaxScale) { Weights = what.Weights };
        Query = QueryOf(shape);
        Output = new float[shape.QueryHeads * shape.ValueElements];
        _logSumExp = new float[shape.QueryHeads];
        Implementation = TileKernels.Find(_target, new TileShape(what.Stored.ElementType, what.Weights, shape.QueryHeads / shape.KvHeads, shape.RowElements, shape.ValueElements, ManyRows: false)).Name;
        if (what.Threads == 1) return;
        _threads = new AttentionThreads(what.Threads);
        _batch = new DecodeAttentionBatch();
        _batch.Add(rows.Sequence, what.Tokens);
    }

    /// <summary>Whether this process uses native kernels.</summary>
    internal static bool HasNative => KernelTarget.InUse.NativeTarget >= 0;

    /// <summary>The kernel that runs, such as <c>native avx2 bf16</c>.</summary>
    internal string Implementation { get; }

    /// <summary><c>[query head][row elements]</c>.</summary>
    internal float[] Query { get; }

    /// <summary><c>[query head][value elements]</c>, of the last run.</summary>
    internal float[] Output { get; }

    internal void Run()
    {
        AttentionShape shape = _what.Shape;
        if (_batch is not null) _batch.Run(_target, 0, shape.QueryHeads, shape.LatentElements, Query, _options, Output, _logSumExp, _threads);
        else if (shape.IsLatent) MlaDecodeAttention.Run(_target, _rows.Sequence.View(0, _what.Tokens), shape.QueryHeads, shape.LatentElements, Query, _options, Output, _logSumExp);
        else PagedDecodeAttention.Run(_target, _rows.Sequence.View(0, _what.Tokens), shape.QueryHeads, Query, _options, Output, _logSumExp);
    }

    /// <summary>The query that every step of a shape has: normal, seeded.</summary>
    internal static float[] QueryOf(AttentionShape shape)
    {
        var random = new SplitMix64(QuerySeed);
        var query = new float[shape.QueryHeads * shape.RowElements];
        foreach (ref float x in query.AsSpan()) x = (float)(QueryDeviation * random.NextGaussian());
        return query;
    }
}
