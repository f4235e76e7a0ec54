using System.IO.Pipelines;
using System.Net;

namespace KvHandoff.Transport;

/// <summary>A connection whose messages suffer what a plan says. What it receives is untouched.</summary>
internal class FaultConnection(IConnection inner, FaultPlan plan, FaultSides side, int number) : IConnection
{
    private readonly TaskCompletionSource _aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _pipeGate = new();
    private FaultPipe? _pipe;
    private byte[]? _held;
    private long _messages;
    private volatile string? _ended;

    public bool ActsOnMessages => true;

    public EndPoint? Remote => inner.Remote;

    public string Description => $"{inner.Description} (faults, {side} {number})";

    public TransportCounters Counters => inner.Counters;

    public TransportResult Receive(Span<byte> destination) => inner.Receive(destination);

    public TransportResult ReceiveVectors(Span<IoRange> ranges) => inner.ReceiveVectors(ranges);

    public ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken) => inner.ReceiveAsync(destination, cancellationToken);

    public TransportResult Send(ReadOnlySpan<byte> bytes)
    {
        if (Next(bytes.Length) is not { } fault) return bytes.IsEmpty || IsClear ? inner.Send(bytes) : Wait(SendAsync(bytes.ToArray(), null));
        return Wait(SendAsync(bytes.ToArray(), fault));
    }

    public TransportResult SendVectors(Span<IoRange> ranges)
    {
        long total = IoRange.TotalBytes(ranges);
        if (Next(total) is not { } fault) return total == 0 || IsClear ? inner.SendVectors(ranges) : Wait(SendAsync(Copy(ranges, total), null));
        return Wait(SendAsync(Copy(ranges, total), fault));
    }

    public async ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        Fault? fault = Next(bytes.Length);
        if (fault is null && (bytes.IsEmpty || IsClear)) return await inner.SendAsync(bytes, cancellationToken).ConfigureAwait(false);
        return await SendAsync(bytes.ToArray(), fault, cancellationToken).ConfigureAwait(false);
    }

    public TransportResult CompleteSend()
    {
        if (_ended is { } reason) return EndedResult(reason);
        _held = null;
        return inner.CompleteSend();
    }

    public IDuplexPipe AsPipe()
    {
        lock (_pipeGate)
            return _pipe ??= new FaultPipe(this, inner.AsPipe());
    }

    public void Abort()
    {
        _aborted.TrySetResult();
        inner.Abort();
    }

    public void Dispose()
    {
        _aborted.TrySetResult();
        inner.Dispose();
    }

    public ValueTask DisposeAsync()
    {
        _aborted.TrySetResult();
        return inner.DisposeAsync();
    }

    /// <summary>Draws the fault of the next message; null for none. An empty call is no message.</summary>
    internal Fault? Next(long messageBytes)
    {
        if (messageBytes == 0 || _ended is not null) return null;
        long message = _messages++;
        if (plan.Decide(side, number, message, messageBytes) is not var (kind, at)) return null;
        // Two messages swap places: a third does not join.
        if (kind == FaultKind.Reorder && _held is not null) return null;
        plan.Record(new FaultEvent(side, number, message, kind, messageBytes, at));
        return new Fault(kind, at);
    }

    /// <summary>Sends a copy of a message, which this call may keep and change, through <paramref name="put"/> as its fault says.</summary>
    internal async ValueTask<TransportResult> SendAsync(byte[] message, Fault? fault, Func<ReadOnlyMemory<byte>, ValueTask<TransportResult>> put)
    {
        if (_ended is { } reason) return EndedResult(reason);
        byte[]? held = _held;
        TransportResult sent = TransportResult.Ok;
        switch (fault?.Kind)
        {
            case FaultKind.Reorder:
                _held = message;
                return sent;
            case FaultKind.DisconnectBefore:
                _ended = "a planned break";
                inner.Abort();
                return EndedResult(_ended);
            case FaultKind.Stall:
                await plan.Gate.WaitAsync(_aborted.Task).ConfigureAwait(false);
                break;
            case FaultKind.Flip:
                message[fault.Value.At / 8] ^= (byte)(1 << (int)(fault.Value.At % 8));
                break;
            case FaultKind.Truncate:
                message = message[..(int)fault.Value.At];
                held = null;
                break;
        }

        if (fault?.Kind != FaultKind.Drop) sent = await put(message).ConfigureAwait(false);
        if (fault?.Kind == FaultKind.Duplicate && sent.IsOk) sent = await put(message).ConfigureAwait(false);
        if (held is not null && sent.IsOk) sent = await put(held).ConfigureAwait(false);
        _held = null;
        if (fault?.Kind is not (FaultKind.Truncate or FaultKind.DisconnectAfter) || !sent.IsOk) return sent;
        _ended = fault.Value.Kind == FaultKind.Truncate ? "a planned end inside a message" : "a planned end after a message";
        // In a pipe the output is completed by who writes to it.
        if (_pipe is null) inner.CompleteSend();
        return fault.Value.Kind == FaultKind.Truncate ? EndedResult(_ended) : sent;
    }

    /// <summary>The plan has ended this connection's sent stream.</summary>
    internal bool IsEnded => _ended is not null;

    private bool IsClear => _held is null && _ended is null;

    private ValueTask<TransportResult> SendAsync(byte[] message, Fault? fault, CancellationToken cancellationToken = default) =>
        SendAsync(message, fault, bytes => inner.SendAsync(bytes, cancellationToken));

    private TransportResult EndedResult(string reason) => new(TransportStatus.Reset, $"{Description}: {reason} came before");

    private static TransportResult Wait(ValueTask<TransportResult> sending) => sending.AsTask().GetAwaiter().GetResult();

    private static byte[] Copy(ReadOnlySpan<IoRange> ranges, long total)
    {
        byte[] message = new byte[total];
        int at = 0;
        foreach (IoRange range in ranges)
        {
            if (range.LengthBytes == 0) continue;
            SocketSystemCalls.AsSpan(range).CopyTo(message.AsSpan(at));
            at += (int)range.LengthBytes;
        }
        return message;
    }

    /// <summary>What happens to one message, and where in it.</summary>
    internal readonly record struct Fault(FaultKind Kind, long At);
}
