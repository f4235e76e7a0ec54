using System.Collections.Immutable;

namespace KvHandoff.Transport;

/// <summary>
/// A <see cref="FaultConnection"/> over a transport that writes one-sidedly: messages suffer what the plan says. What is written into the listener's regions has no faults.
/// </summary>
internal sealed class FaultRemoteConnection(IConnection inner, IRemoteMemoryPeer writer, FaultPlan plan, FaultSides side, int number)
    : FaultConnection(inner, plan, side, number), IRemoteMemoryPeer
{
    public ImmutableArray<long> RegionBytes => writer.RegionBytes;

    public bool OffersRegions => writer.OffersRegions;

    public Task PeerGone => writer.PeerGone;

    public TransportResult StartWrite(IoRange source, int region, long offsetBytes) => writer.StartWrite(source, region, offsetBytes);

    public TransportResult StartFlush(out long flush) => writer.StartFlush(out flush);

    public TransportResult TryFinishFlush(long flush, out bool isDone) => writer.TryFinishFlush(flush, out isDone);

    public TransportResult FinishFlush(long flush) => writer.FinishFlush(flush);
}
