using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>One sequence's query: its plan, its kernels, and how much memory its query rows, one part's state and one worker need.</summary>
readonly unsafe struct AttentionWork
{
    internal AttentionWork(in KvLayerView view, in AttentionPlan plan, in KernelTarget target, SoftmaxWeights weights, bool manyRows)
    {
        Plan = plan;
        LayerGroup group = view.Group;
        Unpacks = NeedsUnpacking(group, KvPlane.Key) || (group.Planes == 2 && NeedsUnpacking(group, KvPlane.Value));
        ElementType element = Unpacks ? ElementType.Float32 : group.ElementType;
        Blocks = TileKernels.Find(target, new TileShape(element, weights, plan.Rows, plan.KeyDim, plan.ValueDim, manyRows));
        HasTail = !Unpacks && view.TailTokens > 0;
        Tail = HasTail ? TileKernels.Find(target, new TileShape(ElementType.BFloat16, weights, plan.Rows, plan.KeyDim, plan.ValueDim, manyRows)) : default;
    }

    internal AttentionPlan Plan { get; }

    /// <summary>Kernel of the rows in blocks.</summary>
    internal TileKernel Blocks { get; }

    /// <summary>Kernel of the BF16 rows of the tail.</summary>
    internal TileKernel Tail { get; }

    internal bool HasTail { get; }

    /// <summary>Whether rows are unpacked tile by tile: orders that scatter a row's elements, and microscaling groups.</summary>
    internal bool Unpacks { get; }

    /// <summary>Bytes of the query rows of one kv head.</summary>
    internal long HeadRowsBytes => AlignedScratch.Lines((long)Plan.Rows * Plan.KeyDim * sizeof(float));

    internal long HeadBlocksPrepared => AlignedScratch.Lines(Blocks.PreparedBytes);

    internal long HeadTailPrepared => AlignedScratch.Lines(Tail.PreparedBytes);

    /// <summary>Bytes of the query rows of one kv head and of what the kernels prepared of them.</summary>
    internal long HeadQueryBytes => HeadRowsBytes + HeadBlocksPrepared + HeadTailPrepared;

    /// <summary>Bytes of the running maxima, and again of the sums, of one kv head.</summary>
    internal long HeadStatisticsBytes => AlignedScratch.Lines((long)Plan.Rows * sizeof(float));

    internal long HeadOutputBytes => AlignedScratch.Lines((long)Plan.Rows * Plan.ValueDim * sizeof(float));

    /// <summary>Bytes of the state of one kv head: maxima, sums, output.</summary>
    internal long HeadStateBytes => 2 * HeadStatisticsBytes + HeadOutputBytes;

    internal long ScaleBytes => AlignedScratch.Lines(Math.Max(AttendTile.MostTokens, Math.Max(Plan.KeyDim, Plan.ValueDim)) * sizeof(float));

    internal long UnpackedBytes => Unpacks ? AlignedScratch.Lines((long)AttendTile.MostTokens * (Plan.KeyDim + Plan.ValueDim) * sizeof(float)) : 0;

    /// <summary>Bytes that a worker needs: masks, widened scales, unpacked rows, the kernel's scratch.</summary>
    internal long WorkerBytes =>
        2 * HeadStatisticsBytes + 2 * ScaleBytes + UnpackedBytes + AttendTile.ScratchBytes(Plan.Rows, Plan.KeyDim, Plan.ValueDim);

    static bool NeedsUnpacking(LayerGroup group, KvPlane plane) =>
        !group.Geometry.RowsAreContiguous(plane) || group.Form(plane).ScaleKind == ScaleKind.PerGroup32;
}
