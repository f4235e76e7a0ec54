using System.Runtime.InteropServices;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>What a handoff cost, of either side.</summary>
static unsafe class CostExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_handoff_cost")]
    static int Cost(ulong handle, KvhCost* cost)
    {
        try
        {
            using Pin<NativeSource> pin = HandleTable.Use<NativeSource>(handle);
            HandoffCost spent = pin.Target switch
            {
                NativeOutgoing outgoing => outgoing.Cost ?? throw new StatusException(Status.State, "The handoff is not committed; its cost is known then."),
                NativeIncoming incoming => incoming.Incoming.Cost,
                _ => throw new StatusException(Status.Handle, "The handle is not a handoff's."),
            };
            var filled = new KvhCost
            {
                KvBytes = spent.KvBytes,
                WireBytes = spent.WireBytes,
                BytesCopied = spent.BytesCopied,
                ElapsedNs = (long)spent.Elapsed.TotalNanoseconds,
            };
            for (int phase = 0; phase < HandoffCost.PhaseCount; phase++) filled.PhaseNs[phase] = (long)spent[(HandoffPhase)phase].TotalNanoseconds;
            HostStructs.Write(cost, filled);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }
}
