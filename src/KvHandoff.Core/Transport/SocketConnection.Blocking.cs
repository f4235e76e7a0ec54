using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>The data path: blocking system calls on the descriptor, for threads of their own.</summary>
internal sealed partial class SocketConnection
{
    public TransportResult Receive(Span<byte> destination)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            int done = 0;
            while (done < destination.Length)
            {
                nint count = SocketSystemCalls.Receive(_socket, _descriptor, destination[done..], out SocketError error);
                CountReceived(count);
                if (count > 0) done += (int)count;
                else if (error != SocketError.WouldBlock) return ReceiveFailure(error, done, destination.Length);
                else SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollIn);
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
            ranges = IoRange.Advance(ranges, 0);
            while (!ranges.IsEmpty)
            {
                nint count = SocketSystemCalls.Receive(_socket, _descriptor, (ReadOnlySpan<IoRange>)ranges, out SocketError error);
                CountReceived(count);
                if (count > 0)
                {
                    done += count;
                    ranges = IoRange.Advance(ranges, count);
                }
                else if (error != SocketError.WouldBlock) return ReceiveFailure(error, done, done + IoRange.TotalBytes(ranges));
                else SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollIn);
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
            int done = 0;
            while (done < bytes.Length)
            {
                nint count = SocketSystemCalls.Send(_socket, _descriptor, bytes[done..], out SocketError error);
                CountSent(count);
                if (count >= 0) done += (int)count;
                else if (error != SocketError.WouldBlock) return Failure(error, "sent", done, bytes.Length);
                else SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollOut);
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
            ranges = IoRange.Advance(ranges, 0);
            while (!ranges.IsEmpty)
            {
                nint count = SocketSystemCalls.Send(_socket, _descriptor, (ReadOnlySpan<IoRange>)ranges, wait, out SocketError error);
                CountSent(count);
                if (count >= 0)
                {
                    done += count;
                    ranges = IoRange.Advance(ranges, count);
                }
                else if (error != SocketError.WouldBlock) return Failure(error, "sent", done, done + IoRange.TotalBytes(ranges));
                else if (wait) SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollOut);
                else
                {
                    rest = ranges;
                    break;
                }
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Blocks until something has come: the bytes, or 0 and how the stream ended.</summary>
    internal int ReceiveSome(Span<byte> destination, out TransportResult end)
    {
        end = TransportResult.Ok;
        if (!TryEnter())
        {
            end = AbortedResult();
            return 0;
        }
        try
        {
            while (true)
            {
                nint count = SocketSystemCalls.ReceiveSome(_socket, _descriptor, destination, out SocketError error);
                CountReceived(count);
                if (count > 0) return (int)count;
                if (error != SocketError.WouldBlock)
                {
                    end = ReceiveFailure(error, 0, 0);
                    return 0;
                }
                SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollIn);
            }
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Sends what there is room for, if the system can tell without waiting; what becomes of it is nobody's concern any more.</summary>
    internal void TrySendOnce(ReadOnlySpan<byte> bytes)
    {
        if (!OperatingSystem.IsLinux() || !TryEnter()) return;
        _ = SocketSystemCalls.TrySend(_descriptor, bytes, out _);
        Exit();
    }

    /// <summary>Takes up to <paramref name="maxBytes"/> unread bytes out of the way: a close over unread bytes resets the peer and drops what was sent.</summary>
    internal void DiscardReceived(int maxBytes)
    {
        if (!OperatingSystem.IsLinux() || !TryEnter()) return;
        Span<byte> sink = stackalloc byte[1024];
        for (int done = 0; done < maxBytes;)
        {
            nint count = SocketSystemCalls.TryReceive(_descriptor, sink, out _);
            if (count <= 0) break;
            done += (int)count;
        }
        Exit();
    }

    private TransportResult ReceiveFailure(SocketError error, long done, long total)
    {
        if (_aborted) return AbortedResult();
        return error == SocketError.Success
            ? SocketErrors.EndOfStream(Description, done, total)
            : Failure(error, "received", done, total);
    }
}
