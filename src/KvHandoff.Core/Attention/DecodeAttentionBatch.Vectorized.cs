using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Attention;

public sealed unsafe partial class DecodeAttentionBatch
{
    private readonly AlignedScratch _memory = new(), _workers = new();
    private readonly List<Share> _shares = [];
    private readonly List<(int Share, int Part)> _parts = [];
    private Action<int, int>? _arrange, _attend, _join, _whole;
    private Step _step;

    /// <summary>The same with chosen kernels; a latent dimension of 0 stands for keys and values.</summary>
    internal void Run(in KernelTarget target, int layer, int queryHeads, int latentDim, ReadOnlySpan<float> query, in AttentionOptions options,
        Span<float> output, Span<float> logSumExp, AttentionThreads? threads)
    {
        Validate(layer, queryHeads, latentDim, query.Length, options, output.Length, logSumExp.Length);
        if (_rows == 0) return;
        long bytes = 0, workerBytes = 0;
        bool areWhole = true;
        _shares.Clear();
        _parts.Clear();
        for (int i = 0; i < _entries.Count; i++)
        {
            Entry entry = _entries[i];
            KvLayerView view = entry.Sequence.View(layer, entry.Tokens);
            int valueDim = latentDim != 0 ? latentDim : view.Group.HeadDim;
            var plan = new AttentionPlan(view, queryHeads, entry.QueryTokens, valueDim, entry.Tokens - entry.QueryTokens, options);
            var work = new AttentionWork(view, plan, target, options.Weights, manyRows: false);
            long stateAt = bytes + plan.KvHeads * work.HeadQueryBytes;
            _shares.Add(new Share(work, bytes, stateAt));
            for (int part = 0; part < plan.Parts; part++) _parts.Add((i, part));
            areWhole &= plan.Parts == 1;
            bytes = stateAt + plan.Parts * plan.KvHeads * work.HeadStateBytes;
            workerBytes = Math.Max(workerBytes, AlignedScratch.Lines(work.WorkerBytes));
        }

        byte* memory = _memory.Take(bytes), workers = _workers.Take(workerBytes * (threads?.Count ?? 1));
        fixed (float* q = query, o = output, l = logSumExp)
        {
            _step = new Step(layer, queryHeads, options.Sinks, memory, workers, workerBytes, q, o, l);
            if (areWhole)
            {
                RunItems(threads, _shares.Count, _whole ??= AttendWhole);
            }
            else
            {
                RunItems(threads, _shares.Count, _arrange ??= Arrange);
                RunItems(threads, _parts.Count, _attend ??= Attend);
                RunItems(threads, _shares.Count, _join ??= Join);
            }

            _step = default;
        }
    }

    private static void RunItems(AttentionThreads? threads, int items, Action<int, int> body)
    {
        if (threads is not null) threads.Run(items, body);
        for (int item = 0; threads is null && item < items; item++) body(0, item);
    }

    // Sequences of one part each, so that the item of a part is that of its sequence: no thread waits for another in between.
    private void AttendWhole(int worker, int item)
    {
        Arrange(worker, item);
        Attend(worker, item);
        Join(worker, item);
    }

    private void Arrange(int worker, int item)
    {
        Share share = _shares[item];
        AttentionPlan plan = share.Work.Plan;
        long elements = (long)_step.QueryHeads * plan.KeyDim;
        var query = new ReadOnlySpan<float>(_step.Query + _entries[item].FirstQueryToken * elements, (int)(plan.QueryTokens * elements));
        for (int head = 0; head < plan.KvHeads; head++) AttentionPass.Arrange(share.Work, head, query, _step.Memory + share.QueryAt + head * share.Work.HeadQueryBytes);
    }

    private void Attend(int worker, int item)
    {
        (int index, int part) = _parts[item];
        Share share = _shares[index];
        AttentionPlan plan = share.Work.Plan;
        Entry entry = _entries[index];
        AttentionPass.Attend(entry.Sequence.View(_step.Layer, entry.Tokens), share.Work, plan.Part(part), (0, plan.KvHeads), _step.Memory + share.QueryAt,
            _step.Memory + share.StateAt + part * plan.KvHeads * share.Work.HeadStateBytes, _step.Workers + worker * _step.WorkerBytes);
    }

    private void Join(int worker, int item)
    {
        Share share = _shares[item];
        AttentionPlan plan = share.Work.Plan;
        Entry entry = _entries[item];
        long rows = (long)entry.FirstQueryToken * _step.QueryHeads;
        var output = new Span<float>(_step.Output + rows * plan.ValueDim, plan.QueryTokens * _step.QueryHeads * plan.ValueDim);
        var logSumExp = new Span<float>(_step.LogSumExp + rows, plan.QueryTokens * _step.QueryHeads);
        for (int head = 0; head < plan.KvHeads; head++)
        {
            AttentionPass.Join(entry.Sequence.View(_step.Layer, entry.Tokens), share.Work, head, _step.Sinks.Span, _step.Memory + share.StateAt + head * share.Work.HeadStateBytes,
                plan.Parts, plan.KvHeads * share.Work.HeadStateBytes, output, logSumExp);
        }
    }

    private readonly record struct Share(AttentionWork Work, long QueryAt, long StateAt);

    private readonly struct Step(int layer, int queryHeads, ReadOnlyMemory<float> sinks, byte* memory, byte* workers, long workerBytes, float* query, float* output, float* logSumExp)
    {
        internal readonly int Layer = layer, QueryHeads = queryHeads;
        internal readonly ReadOnlyMemory<float> Sinks = sinks;
        internal readonly byte* Memory = memory, Workers = workers;
        internal readonly long WorkerBytes = workerBytes;
        internal readonly float* Query = query, Output = output, LogSumExp = logSumExp;
    }
}
