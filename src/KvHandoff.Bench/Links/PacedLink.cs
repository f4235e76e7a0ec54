namespace KvHandoff.Bench.Links;

/// <summary>
/// A link of a given rate between a sender that encodes and sends frames in turn and a receiver that verifies and decodes them, on a
/// virtual clock: the sender goes on as soon as the frame fits into the buffers, the link sends when the receiver has room.
/// </summary>
internal sealed class PacedLink(double gigabitsPerSecond)
{
    // What a tuned socket pair buffers; with less, stages wait for each other more.
    private const long BufferBytes = 4 << 20;

    private readonly double _bytesPerSecond = gigabitsPerSecond * 1e9 / 8;
    private readonly Queue<(double At, long Bytes)> _onLink = new(), _atReceiver = new();
    private long _onLinkBytes, _atReceiverBytes;
    private double _sender, _link, _receiver;

    /// <summary>Seconds until the receiver has decoded everything.</summary>
    internal double Seconds => _receiver;

    /// <summary>Sends one frame.</summary>
    /// <returns>Seconds that it took the sender: to encode it, and to wait for room.</returns>
    internal double Send(double encodeSeconds, long bytes, double decodeSeconds)
    {
        double started = _sender, encoded = started + encodeSeconds;
        _sender = encoded;
        while (_onLinkBytes > 0 && _onLinkBytes + bytes > BufferBytes) _sender = Math.Max(_sender, Leave(_onLink, ref _onLinkBytes));
        double begins = Math.Max(_sender, _link);
        while (_atReceiverBytes > 0 && _atReceiverBytes + bytes > BufferBytes) begins = Math.Max(begins, Leave(_atReceiver, ref _atReceiverBytes));
        _link = begins + bytes / _bytesPerSecond;
        _receiver = Math.Max(_receiver, _link) + decodeSeconds;
        _onLink.Enqueue((_link, bytes));
        _atReceiver.Enqueue((_receiver, bytes));
        _onLinkBytes += bytes;
        _atReceiverBytes += bytes;
        return _sender - started;
    }

    private static double Leave(Queue<(double At, long Bytes)> queue, ref long queued)
    {
        (double at, long bytes) = queue.Dequeue();
        queued -= bytes;
        return at;
    }
}
