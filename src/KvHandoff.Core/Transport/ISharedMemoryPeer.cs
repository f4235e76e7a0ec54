using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>
/// What a connection over shared memory can do beyond a byte stream: the connecting side writes into the listener's
/// <see cref="TransportOptions.SharedRegions"/> by itself. Thread-safe.
/// </summary>
public interface ISharedMemoryPeer
{
    /// <summary>Regions that the listener shares with this side, in its order; 0 on the accepting side.</summary>
    int RegionCount { get; }

    /// <summary>
    /// Maps the listener's regions, read and write; the same mapping on every call. Nothing is mapped before the first call, so that one
    /// connection of several can hold the window for all.
    /// </summary>
    /// <remarks>
    /// Valid until the connection is disposed, or, where that is later, until every <see cref="TryHoldRegions"/> was released.
    /// The listener may read, and change, every byte at any time.
    /// </remarks>
    /// <exception cref="ObjectDisposedException">The connection was disposed.</exception>
    /// <exception cref="IOException">The system refuses a mapping; the message has the length and the reason.</exception>
    ImmutableArray<MemoryRegion> MapRegions();

    /// <summary>Keeps the mapped regions in place across a disposal by another thread; false when it is too late. Costs one interlocked operation.</summary>
    bool TryHoldRegions();

    /// <summary>Ends one <see cref="TryHoldRegions"/>; the last one after disposal unmaps.</summary>
    void ReleaseRegions();

    /// <summary>
    /// Completes when the peer's end is closed: its process has ended, or it disposed the connection, which unmaps first. From then on
    /// the peer no longer writes into the shared regions through this connection. It also completes after this side was disposed.
    /// </summary>
    /// <remarks>A peer that keeps a mapping of its own beyond the connection is not seen; see docs/shared-memory.md.</remarks>
    Task PeerGone { get; }
}
