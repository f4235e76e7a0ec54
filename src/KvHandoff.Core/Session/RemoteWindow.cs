using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>A receiver's blocks that this side writes one-sidedly: addresses to compute with, and their places in the receiver's regions. Nothing of it can be read here.</summary>
internal sealed class RemoteWindow : IDisposable
{
    private readonly ImmutableArray<MemoryRegion> _regions;

    private RemoteWindow(ImmutableArray<MemoryRegion> regions) => _regions = regions;

    /// <summary>The receiver's cache as its welcome describes it; null, or why it cannot be.</summary>
    internal static string? TryOpen(Welcome welcome, IRemoteMemoryPeer peer, out RemoteWindow? window, out PagedKvCache? cache)
    {
        var regions = ImmutableArray.CreateBuilder<MemoryRegion>();
        window = null;
        cache = null;
        try
        {
            foreach (long bytes in peer.RegionBytes) regions.Add(ReservedAddresses.Reserve(bytes));
        }
        catch (OutOfMemoryException e)
        {
            foreach (MemoryRegion region in regions) region.Dispose();
            return e.Message;
        }

        window = new RemoteWindow(regions.DrainToImmutable());
        if (CacheWindow.TryRead(welcome.Window.Span, welcome.Layout, window._regions, out cache) is not { } wrong) return null;
        window.Dispose();
        window = null;
        return wrong;
    }

    /// <summary>Begins to write runs of this side into runs of the receiver's, which hold the same bytes in the same order but may be cut elsewhere.</summary>
    internal TransportResult StartWrites(IRemoteMemoryPeer peer, ReadOnlySpan<IoRange> sources, ReadOnlySpan<IoRange> targets)
    {
        nint done = 0, filled = 0;
        int to = 0;
        for (int from = 0; from < sources.Length && to < targets.Length;)
        {
            nint step = Math.Min(sources[from].LengthBytes - done, targets[to].LengthBytes - filled);
            (int region, long offset) = Find(targets[to].Address + filled);
            TransportResult started = peer.StartWrite(new IoRange(sources[from].Address + done, step), region, offset);
            if (!started.IsOk) return started;
            done += step;
            filled += step;
            if (done == sources[from].LengthBytes) (from, done) = (from + 1, 0);
            if (filled == targets[to].LengthBytes) (to, filled) = (to + 1, 0);
        }

        return TransportResult.Ok;
    }

    public void Dispose()
    {
        foreach (MemoryRegion region in _regions) region.Dispose();
    }

    private (int Region, long OffsetBytes) Find(nint address)
    {
        for (int i = 0; i < _regions.Length; i++)
        {
            long offset = address - _regions[i].Address;
            if (offset >= 0 && offset < _regions[i].LengthBytes) return (i, offset);
        }

        throw new InvalidOperationException("A block lies in none of the receiver's regions.");
    }
}
