using System.IO.Pipelines;
using System.Net;

namespace KvHandoff.Transport;

/// <summary>One end of a connection inside this process.</summary>
internal sealed class LoopbackConnection(LoopbackStream incoming, LoopbackStream outgoing, string description, TransportOptions options)
    : IConnection, IControlStream
{
    private readonly Lock _pipeGate = new();
    private ControlPipe? _pipe;
    private long _bytesSent, _bytesReceived, _calls;
    private volatile bool _aborted;

    public EndPoint? Remote => null;

    public string Description => description;

    public TransportCounters Counters => new(Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _bytesReceived), Interlocked.Read(ref _calls));

    public TransportResult Receive(Span<byte> destination) => Fill(destination, 0, destination.Length);

    public TransportResult ReceiveVectors(Span<IoRange> ranges)
    {
        long done = 0, total = IoRange.TotalBytes(ranges);
        for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
        {
            Span<byte> range = SocketSystemCalls.AsSpan(ranges[0]);
            TransportResult got = Fill(range, done, total);
            if (!got.IsOk) return got;
            done += range.Length;
            ranges = IoRange.Advance(ranges, range.Length);
        }
        return Idle();
    }

    public TransportResult Send(ReadOnlySpan<byte> bytes) => Push(bytes, 0, bytes.Length);

    public TransportResult SendVectors(Span<IoRange> ranges)
    {
        long done = 0, total = IoRange.TotalBytes(ranges);
        for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
        {
            Span<byte> range = SocketSystemCalls.AsSpan(ranges[0]);
            TransportResult sent = Push(range, done, total);
            if (!sent.IsOk) return sent;
            done += range.Length;
            ranges = IoRange.Advance(ranges, range.Length);
        }
        return Idle();
    }

    public async ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        int done = 0;
        try
        {
            while (done < destination.Length)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int count = incoming.Read(destination.Span[done..], wait: false, out TransportStatus status);
                if (status != TransportStatus.Ok) return Ended(status, "received", done, destination.Length);
                CountReceived(count);
                done += count;
                if (count == 0) await incoming.WaitReadableAsync(cancellationToken).ConfigureAwait(false);
            }
            return Idle();
        }
        catch (OperationCanceledException)
        {
            return Cancelled("received", done, destination.Length);
        }
    }

    public async ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        int done = 0;
        try
        {
            while (done < bytes.Length)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int count = outgoing.Write(bytes.Span[done..], wait: false, out TransportStatus status);
                if (status != TransportStatus.Ok) return Ended(status, "sent", done, bytes.Length);
                CountSent(count);
                done += count;
                if (count == 0) await outgoing.WaitWritableAsync(cancellationToken).ConfigureAwait(false);
            }
            return Idle();
        }
        catch (OperationCanceledException)
        {
            return Cancelled("sent", done, bytes.Length);
        }
    }

    public TransportResult CompleteSend()
    {
        if (_aborted) return AbortedResult();
        outgoing.End();
        return TransportResult.Ok;
    }

    public IDuplexPipe AsPipe()
    {
        lock (_pipeGate)
            return _pipe ??= new ControlPipe(this);
    }

    public void Abort()
    {
        _aborted = true;
        outgoing.Break();
        incoming.LeaveReader();
    }

    public void Dispose()
    {
        _aborted = true;
        outgoing.End();
        incoming.LeaveReader();
    }

    public async ValueTask DisposeAsync()
    {
        if (_pipe is { } pipe && !_aborted) await pipe.WaitForOutputAsync(options.DrainTimeout).ConfigureAwait(false);
        Dispose();
    }

    async ValueTask<(int Count, TransportResult End)> IControlStream.ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int count = incoming.Read(destination.Span, wait: false, out TransportStatus status);
                if (status != TransportStatus.Ok) return (0, Ended(status, "received", 0, 0));
                CountReceived(count);
                if (count > 0) return (count, TransportResult.Ok);
                await incoming.WaitReadableAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            return (0, Cancelled("received", 0, 0));
        }
    }

    ValueTask<TransportResult> IControlStream.SendSegmentAsync(ReadOnlyMemory<byte> bytes) => SendAsync(bytes, CancellationToken.None);

    private TransportResult Fill(Span<byte> destination, long before, long total)
    {
        for (int done = 0; done < destination.Length;)
        {
            int count = incoming.Read(destination[done..], wait: true, out TransportStatus status);
            if (status != TransportStatus.Ok) return Ended(status, "received", before + done, total);
            CountReceived(count);
            done += count;
        }
        return Idle();
    }

    private TransportResult Push(ReadOnlySpan<byte> bytes, long before, long total)
    {
        for (int done = 0; done < bytes.Length;)
        {
            int count = outgoing.Write(bytes[done..], wait: true, out TransportStatus status);
            if (status != TransportStatus.Ok) return Ended(status, "sent", before + done, total);
            CountSent(count);
            done += count;
        }
        return Idle();
    }

    // An empty transfer on an aborted connection is Aborted as any other.
    private TransportResult Idle() => _aborted ? AbortedResult() : TransportResult.Ok;

    private void CountSent(int bytes)
    {
        Interlocked.Increment(ref _calls);
        Interlocked.Add(ref _bytesSent, bytes);
    }

    private void CountReceived(int bytes)
    {
        Interlocked.Increment(ref _calls);
        Interlocked.Add(ref _bytesReceived, bytes);
    }

    private TransportResult Ended(TransportStatus status, string what, long done, long total)
    {
        if (_aborted) return AbortedResult();
        if (status == TransportStatus.Closed) return SocketErrors.EndOfStream(description, done, total);
        return new TransportResult(status, $"{description}: the peer is gone after {done} of {total} bytes were {what}");
    }

    private TransportResult Cancelled(string what, long done, long total) => _aborted
        ? AbortedResult()
        : new TransportResult(TransportStatus.Aborted, $"{description}: cancelled on this side after {done} of {total} bytes were {what}");

    private TransportResult AbortedResult() => new(TransportStatus.Aborted, $"{description}: aborted on this side");
}
