using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Native;

/// <summary>Canary pairs of the host's engine, and their comparison with what a sequence holds.</summary>
static unsafe class CanaryExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_canary_verify")]
    static int Verify(ulong sequence, KvhCanary* canary, int precision, float* error)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            HostStructs.RequireEnum(precision, 1, 6, "precision");
            KvhCanary given = HostStructs.Read(canary);
            if (given.Seeded != 0) throw new StatusException(Status.Argument, $"seeded is {given.Seeded}; pairs are compared here.");
            KvSequence read = pin.Target.Sequence;
            CanaryResult result = AttentionCanary.Verify(read, Read(given, read.Cache.Layout, read.Tokens), (CanaryPrecision)precision);
            if (error != null) *error = result.LargestError;
            return result.Outcome switch
            {
                CanaryOutcome.Passed => Status.Ok,
                CanaryOutcome.Deviates => throw new StatusException(Status.Corrupt, result.Text),
                _ => throw new StatusException(Status.Argument, result.Text),
            };
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    /// <summary>A copy of the host's pairs; their lengths follow from the layout.</summary>
    internal static CanarySet Read(in KvhCanary canary, KvCacheLayout layout, int tokens)
    {
        HostStructs.RequireRange(canary.PairCount, 1, CanarySet.MaxPairs, "pair_count");
        HostStructs.RequireNotNull(canary.Pairs);
        HostStructs.RequireRange(canary.QueryHeads, 1, CanarySet.MaxQueryHeads, "query_heads");
        var pairs = ImmutableArray.CreateBuilder<CanaryPair>(canary.PairCount);
        for (int i = 0; i < canary.PairCount; i++)
        {
            KvhCanaryPair pair = HostStructs.ReadAt(canary.Pairs, i);
            HostStructs.RequireRange(pair.Layer, 0, layout.LayerCount - 1, "layer");
            HostStructs.RequireNotNull(pair.Query);
            HostStructs.RequireNotNull(pair.Output);
            LayerGroup group = layout.Group(pair.Layer);
            int outputs = group.Kind == AttentionKind.Latent ? HostStructs.RequireRange(canary.LatentDim, 1, group.HeadDim, "latent_dim") : group.HeadDim;
            float[] query = new ReadOnlySpan<float>(pair.Query, group.HeadDim).ToArray(), output = new ReadOnlySpan<float>(pair.Output, outputs).ToArray();
            pairs.Add(new CanaryPair(pair.Layer, pair.Head, query, output) { Sink = pair.HasSink != 0 ? pair.Sink : null });
        }

        var set = new CanarySet
        {
            Pairs = pairs.MoveToImmutable(),
            QueryHeads = canary.QueryHeads,
            Tokens = canary.Tokens == 0 ? tokens : canary.Tokens,
            LatentDim = canary.LatentDim,
            SoftmaxScale = canary.SoftmaxScale,
            LogitCap = canary.LogitCap,
        };
        return set.Check(layout) is { } wrong ? throw new StatusException(Status.Argument, wrong) : set;
    }
}
