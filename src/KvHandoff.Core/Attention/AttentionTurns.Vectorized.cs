using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Attention;

/// <summary>A query on the calling thread alone: a few query tokens at a time, part after part.</summary>
static unsafe class AttentionTurns
{
    [ThreadStatic]
    static AlignedScratch? t_memory;

    internal static void Run(in KernelTarget target, in KvLayerView view, int queryHeads, int queryTokens, int valueDim, ReadOnlySpan<float> query,
        in AttentionOptions options, Span<float> output, Span<float> logSumExp)
    {
        long position = options.QueryPosition ?? view.Tokens - queryTokens;
        for (int first = 0; first < queryTokens; first += PagedDecodeAttention.TurnTokens)
        {
            int tokens = Math.Min(PagedDecodeAttention.TurnTokens, queryTokens - first), rows = tokens * queryHeads;
            var plan = new AttentionPlan(view, queryHeads, tokens, valueDim, position + first, options);
            int keyDim = plan.KeyDim;
            RunTurn(target, view, plan, query.Slice(first * queryHeads * keyDim, rows * keyDim), options,
                output.Slice(first * queryHeads * valueDim, rows * valueDim), logSumExp.Slice(first * queryHeads, rows));
        }
    }

    static void RunTurn(in KernelTarget target, in KvLayerView view, in AttentionPlan plan, ReadOnlySpan<float> query,
        in AttentionOptions options, Span<float> output, Span<float> logSumExp)
    {
        var work = new AttentionWork(view, plan, target, options.Weights, manyRows: false);
        long queryBytes = plan.KvHeads * work.HeadQueryBytes, partBytes = plan.KvHeads * work.HeadStateBytes;
        byte* arranged = (t_memory ??= new AlignedScratch()).Take(queryBytes + plan.Parts * partBytes + work.WorkerBytes);
        byte* state = arranged + queryBytes, memory = state + plan.Parts * partBytes;
        (int, int) heads = (0, plan.KvHeads);
        for (int head = 0; head < plan.KvHeads && plan.Parts > 0; head++) AttentionPass.Arrange(work, head, query, arranged + head * work.HeadQueryBytes);
        for (int part = 0; part < plan.Parts; part++) AttentionPass.Attend(view, work, plan.Part(part), heads, arranged, state + part * partBytes, memory);
        for (int head = 0; head < plan.KvHeads; head++)
            AttentionPass.Join(view, work, head, options.Sinks.Span, state + head * work.HeadStateBytes, plan.Parts, partBytes, output, logSumExp);
    }
}
