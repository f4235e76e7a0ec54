using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>The data path: copies between the ranges and the ring, for threads of their own.</summary>
internal sealed partial class SharedMemoryConnection
{
    public TransportResult Receive(Span<byte> destination)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            for (int done = 0; done < destination.Length;)
            {
                bool gone = _peerLeft;
                int count = _incoming.Read(destination[done..], out RingStatus status);
                Count(ref _bytesReceived, count);
                done += count;
                if (!GoOn(_incoming, status, gone)) return ReceiveEnd(status, done, destination.Length);
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult ReceiveVectors(Span<IoRange> ranges)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            long done = 0;
            for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
            {
                bool gone = _peerLeft;
                nint count = _incoming.Move(ranges[0].Address, ranges[0].LengthBytes, out RingStatus status);
                Count(ref _bytesReceived, count);
                done += count;
                if (count > 0) ranges = IoRange.Advance(ranges, count);
                if (!GoOn(_incoming, status, gone)) return ReceiveEnd(status, done, done + IoRange.TotalBytes(ranges));
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult Send(ReadOnlySpan<byte> bytes)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            for (int done = 0; done < bytes.Length;)
            {
                bool gone = _peerLeft;
                if (_sendEnded || gone) return SendEnd(RingStatus.Waiting, done, bytes.Length);
                int count = _outgoing.Write(bytes[done..], out RingStatus status);
                Count(ref _bytesSent, count);
                done += count;
                if (!GoOn(_outgoing, status, gone)) return SendEnd(status, done, bytes.Length);
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult SendVectors(Span<IoRange> ranges) => SendVectors(ranges, wait: true, out _);

    public TransportResult TrySendVectors(Span<IoRange> ranges, out Span<IoRange> rest) => SendVectors(ranges, wait: false, out rest);

    private TransportResult SendVectors(Span<IoRange> ranges, bool wait, out Span<IoRange> rest)
    {
        rest = [];
        if (!TryEnter()) return AbortedResult();
        try
        {
            long done = 0;
            for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
            {
                bool gone = _peerLeft;
                if (_sendEnded || gone) return SendEnd(RingStatus.Waiting, done, done + IoRange.TotalBytes(ranges));
                nint count = _outgoing.Move(ranges[0].Address, ranges[0].LengthBytes, out RingStatus status);
                Count(ref _bytesSent, count);
                done += count;
                if (count > 0) ranges = IoRange.Advance(ranges, count);
                if (!wait && status == RingStatus.Waiting && !gone)
                {
                    rest = ranges;
                    break;
                }

                if (!GoOn(_outgoing, status, gone)) return SendEnd(status, done, done + IoRange.TotalBytes(ranges));
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public int TryReceive(Span<byte> destination, out TransportResult? end)
    {
        end = null;
        if (!TryEnter())
        {
            end = AbortedResult();
            return 0;
        }
        try
        {
            bool gone = _peerLeft;
            RingStatus status = RingStatus.Waiting;
            int count = _receiveStopped ? 0 : _incoming.Read(destination, out status);
            Count(ref _bytesReceived, count);
            if (count == 0 && (_receiveStopped || gone || status != RingStatus.Waiting)) end = ReceiveEnd(status, 0, 0);
            return count;
        }
        finally
        {
            Exit();
        }
    }

    public void WaitForData()
    {
        if (!TryEnter()) return;
        _incoming.SleepUntilReady();
        Exit();
    }

    /// <summary>
    /// Waits when there was nothing to move; false when there will never be. <paramref name="gone"/> was read before the ring, so
    /// that what a peer wrote before it went is still delivered.
    /// </summary>
    private bool GoOn(RingEnd end, RingStatus status, bool gone)
    {
        if (_aborted) return false;
        if (status == RingStatus.Moved) return true;
        if (status != RingStatus.Waiting || gone) return false;
        Interlocked.Increment(ref _calls);
        end.Wait();
        return true;
    }
}
