using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>The asynchronous path, for prefaces and the control pipe: it waits for a bell on the bootstrap socket, with no thread of its own.</summary>
internal sealed partial class SharedMemoryConnection
{
    public async ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return AbortedResult();
        int done = 0;
        try
        {
            while (done < destination.Length)
            {
                cancellationToken.ThrowIfCancellationRequested();
                bool gone = _peerLeft;
                int count = _incoming.Read(destination.Span[done..], out RingStatus status);
                Count(ref _bytesReceived, count);
                done += count;
                if (_aborted || status > RingStatus.Waiting || (status == RingStatus.Waiting && gone))
                    return ReceiveEnd(status, done, destination.Length);
                if (status == RingStatus.Waiting) await WaitAsync(_incoming, cancellationToken).ConfigureAwait(false);
            }
            return TransportResult.Ok;
        }
        catch (OperationCanceledException)
        {
            return Cancelled("received", done, destination.Length);
        }
        finally
        {
            Exit();
        }
    }

    public async ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return AbortedResult();
        int done = 0;
        try
        {
            while (done < bytes.Length)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (_sendEnded || _peerLeft) return SendEnd(RingStatus.Waiting, done, bytes.Length);
                int count = _outgoing.Write(bytes.Span[done..], out RingStatus status);
                Count(ref _bytesSent, count);
                done += count;
                if (_aborted || status > RingStatus.Waiting) return SendEnd(status, done, bytes.Length);
                if (status == RingStatus.Waiting) await WaitAsync(_outgoing, cancellationToken).ConfigureAwait(false);
            }
            return TransportResult.Ok;
        }
        catch (OperationCanceledException)
        {
            return Cancelled("sent", done, bytes.Length);
        }
        finally
        {
            Exit();
        }
    }

    ValueTask<TransportResult> IControlStream.SendSegmentAsync(ReadOnlyMemory<byte> bytes) => SendAsync(bytes, CancellationToken.None);

    ValueTask<(int Count, TransportResult End)> IControlStream.ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken) =>
        throw new NotSupportedException("The input of a ring is polled.");

    private Task WaitAsync(RingEnd end, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _calls);
        // The bell is taken before it is asked for, and it is asked for before the last look.
        Task bell = _bell.Next();
        return end.AskForBell() ? Task.CompletedTask : bell.WaitAsync(cancellationToken);
    }

    private TransportResult Cancelled(string what, long done, long total) => _aborted
        ? AbortedResult()
        : new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side after {done} of {total} bytes were {what}");
}
