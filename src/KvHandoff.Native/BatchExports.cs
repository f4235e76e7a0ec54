using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Native;

/// <summary>Sequences that are attended to together. What is in the batch cannot be closed before the batch is cleared.</summary>
sealed class NativeBatch(int threads) : NativeObject
{
    readonly List<NativeSequence> _members = [];
    readonly List<BatchMember> _holds = [];
    readonly DecodeAttentionBatch _batch = new();
    readonly AttentionThreads? _threads = threads > 1 ? new AttentionThreads(threads) : null;

    internal void Add(NativeSequence sequence, int tokens, int queryTokens)
    {
        if (_members.Count > 0 && !ReferenceEquals(_members[0].Cache.Cache.Layout, sequence.Cache.Cache.Layout) && !_members[0].Cache.Cache.Layout.Equals(sequence.Cache.Cache.Layout))
            throw new StatusException(Status.Argument, "The sequence is of another layout than the batch's.");
        var hold = new BatchMember(sequence);
        try
        {
            KvSequence read = sequence.Sequence;
            _batch.Add(read, tokens == 0 ? read.Tokens : tokens, queryTokens == 0 ? 1 : queryTokens);
        }
        catch
        {
            hold.Finish();
            throw;
        }

        _holds.Add(hold);
        _members.Add(sequence);
    }

    internal void Clear()
    {
        _batch.Clear();
        _members.Clear();
        foreach (BatchMember hold in _holds) hold.Finish();
        _holds.Clear();
    }

    internal unsafe void Attend(in KvhAttention a, float* query, float* output, float* logSumExp)
    {
        if (_members.Count == 0) throw new StatusException(Status.State, "The batch is empty.");
        foreach (NativeSequence member in _members) _ = member.Sequence;
        KvCacheLayout layout = _members[0].Cache.Cache.Layout;
        AttentionBuffers buffers = AttentionExports.Buffers(layout, a, _batch.QueryTokens, query, output, logSumExp);
        using var sinks = new HostSinks(a);
        AttentionOptions options = AttentionExports.Options(a, sinks.Memory);
        if (layout.Group(a.Layer).Kind == AttentionKind.Latent) _batch.RunLatent(a.Layer, a.QueryHeads, a.LatentDim, buffers.Query, options, buffers.Output, buffers.LogSumExp, _threads);
        else _batch.Run(a.Layer, a.QueryHeads, buffers.Query, options, buffers.Output, buffers.LogSumExp, _threads);
    }

    protected override void Free() => Clear();

    /// <summary>Keeps a sequence open.</summary>
    sealed class BatchMember(NativeSequence sequence) : NativeObject(sequence)
    {
        protected override void Free()
        {
        }
    }
}

/// <summary>Batches.</summary>
static unsafe class BatchExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_batch_create")]
    static int Create(int threads, ulong* batch)
    {
        try
        {
            LibraryState.Require();
            HostStructs.RequireNotNull(batch);
            *batch = HandleTable.Add(new NativeBatch(HostStructs.RequireRange(threads, 1, 1024, "threads")));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_batch_add")]
    static int Add(ulong batch, ulong sequence, int tokens, int queryTokens)
    {
        try
        {
            using Pin<NativeBatch> pin = HandleTable.Use<NativeBatch>(batch);
            using Pin<NativeSequence> member = HandleTable.Use<NativeSequence>(sequence);
            pin.Target.Add(member.Target, tokens, queryTokens);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(batch, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_batch_clear")]
    static int Clear(ulong batch)
    {
        try
        {
            using Pin<NativeBatch> pin = HandleTable.Use<NativeBatch>(batch);
            pin.Target.Clear();
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(batch, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_batch_attend")]
    static int Attend(ulong batch, KvhAttention* attention, float* query, float* output, float* logSumExp)
    {
        try
        {
            using Pin<NativeBatch> pin = HandleTable.Use<NativeBatch>(batch);
            pin.Target.Attend(HostStructs.Read(attention), query, output, logSumExp);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(batch, e);
        }
    }
}
