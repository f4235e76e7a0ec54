using System.Collections.Immutable;

namespace KvHandoff.Transport;

/// <summary>
/// What a connection can do beyond a byte stream when its transport writes one-sidedly: the connecting side writes into the listener's
/// <see cref="TransportOptions.RemoteRegions"/>, whose bytes are not mapped here. One caller at a time, the one that sends; the rest is thread-safe.
/// </summary>
/// <remarks>The listener hears nothing of a write: say so by a message after its flush is done.</remarks>
public interface IRemoteMemoryPeer
{
    /// <summary>Lengths of the regions that this side may write, in the listener's order; empty on the accepting side.</summary>
    ImmutableArray<long> RegionBytes { get; }

    /// <summary>Whether this side's regions were offered to the peer: true on an accepting side alone.</summary>
    bool OffersRegions { get; }

    /// <summary>Begins to write <paramref name="source"/> to <paramref name="offsetBytes"/> of a region, and waits only where too much is under way.</summary>
    /// <remarks>The source stays as it is until a flush that began later is done, or the call that asked for it failed.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the region.</exception>
    TransportResult StartWrite(IoRange source, int region, long offsetBytes);

    /// <summary>Begins to flush what was written so far.</summary>
    /// <param name="flush">Its number, from 1 on.</param>
    TransportResult StartFlush(out long flush);

    /// <summary>Whether the writes before a flush are in place; does not wait.</summary>
    TransportResult TryFinishFlush(long flush, out bool isDone);

    /// <summary>Waits until the writes before a flush are in place. When it fails, no source is read any more either.</summary>
    TransportResult FinishFlush(long flush);

    /// <summary>Completes when the peer can no longer write into this side's regions through this connection: it has closed its end or died, and this end is torn down as well.</summary>
    Task PeerGone { get; }
}
