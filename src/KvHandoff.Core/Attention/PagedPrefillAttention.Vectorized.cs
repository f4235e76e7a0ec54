using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Attention;

public sealed unsafe partial class PagedPrefillAttention
{
    private readonly AlignedScratch _workers = new();
    private Action<int, int>? _attend;
    private Chunk _chunk;

    /// <summary>The same with chosen kernels.</summary>
    internal void Run(in KernelTarget target, KvSequence sequence, int layer, int tokens, int queryHeads, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp, AttentionThreads? threads)
    {
        int queryTokens = Validate(sequence, layer, tokens, queryHeads, query.Length, options, output.Length, logSumExp.Length);
        KvLayerView view = sequence.View(layer, tokens);
        int itemTokens = Math.Clamp(ItemRows * view.Group.KvHeads / queryHeads, 1, queryTokens), blocks = (queryTokens + itemTokens - 1) / itemTokens;
        AttentionWork largest = Work(view, target, queryHeads, tokens - queryTokens, itemTokens, options);
        long workerBytes = AlignedScratch.Lines(largest.HeadQueryBytes + largest.HeadStateBytes + largest.WorkerBytes);
        byte* workers = _workers.Take(workerBytes * (threads?.Count ?? 1));
        fixed (float* q = query, o = output, l = logSumExp)
        {
            _chunk = new Chunk(sequence, layer, tokens, queryHeads, queryTokens, itemTokens, target, options, workers, workerBytes, q, o, l);
            int items = blocks * view.Group.KvHeads;
            _attend ??= Attend;
            if (threads is not null) threads.Run(items, _attend);
            for (int item = 0; threads is null && item < items; item++) Attend(0, item);
            _chunk = default;
        }
    }

    private static AttentionWork Work(in KvLayerView view, in KernelTarget target, int queryHeads, int position, int queryTokens, in AttentionOptions options)
    {
        var plan = new AttentionPlan(view, queryHeads, queryTokens, view.Group.HeadDim, position, options);
        return new AttentionWork(view, plan, target, options.Weights, manyRows: true);
    }

    private void Attend(int worker, int item)
    {
        Chunk chunk = _chunk;
        KvLayerView view = chunk.Sequence.View(chunk.Layer, chunk.Tokens);
        int heads = view.Group.KvHeads, blocks = (chunk.QueryTokens + chunk.ItemTokens - 1) / chunk.ItemTokens;
        // Last blocks first: they look back furthest, and short items at the end keep the threads busy.
        int head = item % heads, first = (blocks - 1 - item / heads) * chunk.ItemTokens, queryTokens = Math.Min(chunk.ItemTokens, chunk.QueryTokens - first);
        AttentionWork work = Work(view, chunk.Target, chunk.QueryHeads, chunk.Tokens - chunk.QueryTokens + first, queryTokens, chunk.Options);
        AttentionPlan plan = work.Plan;
        byte* query = chunk.Workers + worker * chunk.WorkerBytes, state = query + work.HeadQueryBytes, memory = state + work.HeadStateBytes;
        int rows = queryTokens * chunk.QueryHeads, dim = plan.KeyDim;
        long at = (long)first * chunk.QueryHeads;
        AttentionPass.Arrange(work, head, new ReadOnlySpan<float>(chunk.Query + at * dim, rows * dim), query);
        // Tiles start at fixed places: what lies before the window is masked, not left out, so that sums are taken in the same order.
        int block = plan.StartToken / view.Geometry.BlockTokens * view.Geometry.BlockTokens, tile = view.Group.TileTokens;
        int start = block + (plan.StartToken - block) / tile * tile;
        AttentionPass.Attend(view, work, (start, plan.EndToken), (head, head + 1), query, state, memory);
        AttentionPass.Join(view, work, head, chunk.Options.Sinks.Span, state, parts: 1, partBytes: 0,
            new Span<float>(chunk.Output + at * dim, rows * dim), new Span<float>(chunk.LogSumExp + at, rows));
    }

    private readonly struct Chunk(KvSequence sequence, int layer, int tokens, int queryHeads, int queryTokens, int itemTokens, KernelTarget target,
        AttentionOptions options, byte* workers, long workerBytes, float* query, float* output, float* logSumExp)
    {
        internal readonly KvSequence Sequence = sequence;
        internal readonly int Layer = layer, Tokens = tokens, QueryHeads = queryHeads, QueryTokens = queryTokens, ItemTokens = itemTokens;
        internal readonly KernelTarget Target = target;
        internal readonly AttentionOptions Options = options;
        internal readonly byte* Workers = workers;
        internal readonly long WorkerBytes = workerBytes;
        internal readonly float* Query = query, Output = output, LogSumExp = logSumExp;
    }
}
