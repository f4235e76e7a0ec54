using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>
/// A <see cref="FaultConnection"/> over shared memory: messages suffer what the plan says, while the connecting side writes into the listener's regions by
/// itself. What is written there has no faults.
/// </summary>
internal sealed class FaultSharedConnection(IConnection inner, ISharedMemoryPeer window, FaultPlan plan, FaultSides side, int number)
    : FaultConnection(inner, plan, side, number), ISharedMemoryPeer
{
    public int RegionCount => window.RegionCount;

    public Task PeerGone => window.PeerGone;

    public ImmutableArray<MemoryRegion> MapRegions() => window.MapRegions();

    public bool TryHoldRegions() => window.TryHoldRegions();

    public void ReleaseRegions() => window.ReleaseRegions();
}
