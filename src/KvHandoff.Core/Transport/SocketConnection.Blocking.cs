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

    public TransportResult SendVectors(Span<IoRange> ranges)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            long done = 0;
            ranges = IoRange.Advance(ranges, 0);
            while (!ranges.IsEmpty)
            {
                nint count = SocketSystemCalls.Send(_socket, _descriptor, (ReadOnlySpan<IoRange>)ranges, out SocketError error);
                CountSent(count);
                if (count >= 0)
                {
                    done += count;
                    ranges = IoRange.Advance(ranges, count);
                }
                else if (error != SocketError.WouldBlock) return Failure(error, "sent", done, done + IoRange.TotalBytes(ranges));
                else SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollOut);
            }
            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    private TransportResult ReceiveFailure(SocketError error, long done, long total)
    {
        if (_aborted) return AbortedResult();
        return error == SocketError.Success
            ? SocketErrors.EndOfStream(Description, done, total)
            : Failure(error, "received", done, total);
    }
}
