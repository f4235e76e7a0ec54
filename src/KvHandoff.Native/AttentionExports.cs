using System.Buffers;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Native;

/// <summary>Decode attention over one sequence.</summary>
static unsafe class AttentionExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_attend")]
    static int Attend(ulong sequence, KvhAttention* attention, float* query, float* output, float* logSumExp)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            KvhAttention a = HostStructs.Read(attention);
            KvSequence read = pin.Target.Sequence;
            AttentionBuffers buffers = Buffers(read.Cache.Layout, a, a.QueryTokens == 0 ? 1 : a.QueryTokens, query, output, logSumExp);
            KvLayerView view = read.View(a.Layer, HostStructs.RequireRange(a.Tokens == 0 ? read.Tokens : a.Tokens, 0, read.Capacity, "tokens"));
            using var sinks = new HostSinks(a);
            AttentionOptions options = Options(a, sinks.Memory) with
            {
                StartToken = a.StartToken,
                EndToken = a.StartToken == 0 && a.EndToken == 0 ? null : a.EndToken,
                QueryPosition = (a.Flags & 1) != 0 ? a.QueryPosition : null,
            };
            if (view.Group.Kind == AttentionKind.Latent) MlaDecodeAttention.Run(view, a.QueryHeads, a.LatentDim, buffers.Query, options, buffers.Output, buffers.LogSumExp);
            else PagedDecodeAttention.Run(view, a.QueryHeads, buffers.Query, options, buffers.Output, buffers.LogSumExp);
            // What was read while the handoff failed is not to be used.
            _ = pin.Target.Sequence;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    /// <summary>Query, output and sums as spans, whose lengths follow from the layout and the counts.</summary>
    internal static AttentionBuffers Buffers(KvCacheLayout layout, in KvhAttention a, int queryTokens, float* query, float* output, float* logSumExp)
    {
        HostStructs.RequireNotNull(query);
        HostStructs.RequireNotNull(output);
        HostStructs.RequireNotNull(logSumExp);
        if ((a.Flags & ~1u) != 0) throw new StatusException(Status.Enum, $"flags are 0x{a.Flags:x}; allowed: KVH_ATTEND_QUERY_POSITION.");
        HostStructs.RequireRange(a.Layer, 0, layout.LayerCount - 1, "layer");
        HostStructs.RequireRange(a.QueryHeads, 1, CanarySet.MaxQueryHeads, "query_heads");
        HostStructs.RequireRange(queryTokens, 1, 1 << 20, "query_tokens");
        HostStructs.RequireEnum(a.Weights, 0, 1, "weights");
        LayerGroup group = layout.Group(a.Layer);
        int valueDim = group.Kind == AttentionKind.Latent ? HostStructs.RequireRange(a.LatentDim, 1, group.HeadDim, "latent_dim") : group.HeadDim;
        long heads = (long)queryTokens * a.QueryHeads;
        if (heads * group.HeadDim > int.MaxValue) throw new StatusException(Status.Argument, $"The query has {heads * group.HeadDim} elements; allowed: {int.MaxValue}.");
        return new AttentionBuffers(new ReadOnlySpan<float>(query, (int)heads * group.HeadDim), new Span<float>(output, (int)heads * valueDim), new Span<float>(logSumExp, (int)heads));
    }

    internal static AttentionOptions Options(in KvhAttention a, ReadOnlyMemory<float> sinks) =>
        new(a.SoftmaxScale, a.WindowTokens) { LogitCap = a.LogitCap, Sinks = sinks, Weights = (SoftmaxWeights)a.Weights };
}

/// <summary>What attention reads and writes of the host.</summary>
readonly ref struct AttentionBuffers(ReadOnlySpan<float> query, Span<float> output, Span<float> logSumExp)
{
    internal ReadOnlySpan<float> Query { get; } = query;

    internal Span<float> Output { get; } = output;

    internal Span<float> LogSumExp { get; } = logSumExp;
}

/// <summary>Attention sinks of the host as memory, in an array that is lent for the call.</summary>
readonly unsafe ref struct HostSinks
{
    readonly float[]? _copy;

    internal HostSinks(in KvhAttention a)
    {
        if (a.Sinks == null) return;
        _copy = ArrayPool<float>.Shared.Rent(a.QueryHeads);
        new ReadOnlySpan<float>(a.Sinks, a.QueryHeads).CopyTo(_copy);
        Memory = _copy.AsMemory(0, a.QueryHeads);
    }

    internal ReadOnlyMemory<float> Memory { get; }

    public void Dispose()
    {
        if (_copy is not null) ArrayPool<float>.Shared.Return(_copy);
    }
}
