using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Native;

/// <summary>Publishing, committing and watching an outgoing handoff.</summary>
static unsafe class OutgoingExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_outgoing_publish")]
    static int Publish(ulong outgoing, int layer, int start, int tokens)
    {
        try
        {
            using Pin<NativeOutgoing> pin = HandleTable.Use<NativeOutgoing>(outgoing);
            pin.Target.Publish(layer, new IndexRange(start, tokens));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(outgoing, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_outgoing_write")]
    static int Write(ulong outgoing, int layer, int start, int tokens, float* keys, float* values)
    {
        try
        {
            using Pin<NativeOutgoing> pin = HandleTable.Use<NativeOutgoing>(outgoing);
            OutgoingHandoff handoff = pin.Target.Handoff ?? throw (pin.Target.Ended is { } failure
                ? new StatusException(failure.Status, failure.Text)
                : new StatusException(Status.State, "The receiver has not granted blocks yet; wait for KVH_EVENT_GRANTED."));
            RowSpans rows = SequenceExports.Rows(pin.Target.Layout, layer, tokens, keys, values);
            if (handoff.WriteRows(layer, start, rows.Keys, rows.Values)) return Status.Ok;
            FailureInfo over = pin.Target.Ended ?? new FailureInfo(Status.Aborted, $"Handoff {handoff.Id} has ended.");
            throw new StatusException(over.Status, over.Text);
        }
        catch (Exception e)
        {
            return Failure.Report(outgoing, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_outgoing_commit")]
    static int Commit(ulong outgoing, KvhManifest* manifest, KvhCanary* canary)
    {
        try
        {
            using Pin<NativeOutgoing> pin = HandleTable.Use<NativeOutgoing>(outgoing);
            NativeOutgoing target = pin.Target;
            Func<CanarySet?> makeCanary = static () => null;
            if (canary != null)
            {
                KvhCanary given = HostStructs.Read(canary);
                if (given.Seeded != 0)
                {
                    int pairs = HostStructs.RequireRange(given.Seeded, 1, CanarySet.MaxPairs, "seeded");
                    makeCanary = () => Seeded(target, pairs);
                }
                else
                {
                    CanarySet set = CanaryExports.Read(given, target.Layout, target.Offer.TotalTokens);
                    makeCanary = () => set;
                }
            }

            target.Commit(ManifestStructs.Read(HostStructs.Read(manifest)), makeCanary);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(outgoing, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_outgoing_cancel")]
    static int Cancel(ulong outgoing)
    {
        try
        {
            using Pin<NativeOutgoing> pin = HandleTable.Use<NativeOutgoing>(outgoing);
            pin.Target.Cancel();
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(outgoing, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_outgoing_describe")]
    static int Describe(ulong outgoing, KvhOutgoingInfo* info)
    {
        try
        {
            using Pin<NativeOutgoing> pin = HandleTable.Use<NativeOutgoing>(outgoing);
            HostStructs.Write(info, new KvhOutgoingInfo
            {
                State = pin.Target.State,
                HandoffId = HostStructs.Write(pin.Target.Offer.HandoffId),
                TotalTokens = pin.Target.Offer.TotalTokens,
                ReusedTokens = pin.Target.Handoff?.ReusedTokens ?? 0,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(outgoing, e);
        }
    }

    static CanarySet? Seeded(NativeOutgoing target, int pairs)
    {
        (int, int)[] sample = [.. AttentionCanary.Sample(target.Layout, pairs)];
        return AttentionCanary.CreateSeeded(target.Handoff!.Sequence, target.Offer.TotalTokens, target.Offer.HandoffId, sample);
    }
}
