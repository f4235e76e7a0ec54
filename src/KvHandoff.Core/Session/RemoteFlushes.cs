using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>
/// Frames whose rows were written one-sidedly and whose headers wait until the rows are in place. Writes of the next frames go on while the flush of the ones before is under way.
/// </summary>
internal sealed class RemoteFlushes(IRemoteMemoryPeer peer)
{
    // A flush costs a round trip: one for each mebibyte keeps the receiver verifying while the next is written.
    private const long FlushBytes = 1 << 20;

    private readonly Queue<(long Flush, int RangeEnd)> _open = new();
    private long _unflushedBytes;
    private int _written;

    /// <summary>Whether frames wait.</summary>
    internal bool IsEmpty => _open.Count == 0 && _unflushedBytes == 0;

    internal IRemoteMemoryPeer Peer => peer;

    /// <summary>Another frame is written; its header is the last of the first <paramref name="rangeEnd"/> ranges.</summary>
    internal TransportResult Written(long bytes, int rangeEnd)
    {
        _unflushedBytes += bytes;
        _written = rangeEnd;
        return _unflushedBytes < FlushBytes ? TransportResult.Ok : StartFlush();
    }

    /// <summary>How many ranges tell of rows that are in place now; does not wait.</summary>
    internal TransportResult TryNext(out int rangeEnd)
    {
        rangeEnd = 0;
        while (_open.TryPeek(out (long Flush, int RangeEnd) first))
        {
            TransportResult looked = peer.TryFinishFlush(first.Flush, out bool isDone);
            if (!looked.IsOk || !isDone) return looked;
            rangeEnd = first.RangeEnd;
            _open.Dequeue();
        }

        return TransportResult.Ok;
    }

    /// <summary>Waits for the next ones: 0 when none are left.</summary>
    internal TransportResult Next(out int rangeEnd)
    {
        rangeEnd = 0;
        if (_unflushedBytes > 0 && StartFlush() is { IsOk: false } failed) return failed;
        if (!_open.TryDequeue(out (long Flush, int RangeEnd) first)) return TransportResult.Ok;
        rangeEnd = first.RangeEnd;
        return peer.FinishFlush(first.Flush);
    }

    /// <summary>The connection has ended: returns when no rows are read any more.</summary>
    internal void Abandon()
    {
        _open.Clear();
        _unflushedBytes = 0;
        _ = peer.FinishFlush(long.MaxValue);
    }

    private TransportResult StartFlush()
    {
        TransportResult started = peer.StartFlush(out long flush);
        if (!started.IsOk) return started;
        _open.Enqueue((flush, _written));
        _unflushedBytes = 0;
        return started;
    }
}
