using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>The asynchronous path: exact transfers for prefaces, partial ones for the control pipe.</summary>
internal sealed partial class SocketConnection
{
    public async ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return AbortedResult();
        int done = 0;
        try
        {
            while (done < destination.Length)
            {
                (int count, SocketError error) = await ReceiveOnceAsync(destination[done..], cancellationToken).ConfigureAwait(false);
                if (count > 0) done += count;
                else if (error != SocketError.WouldBlock) return ReceiveFailure(error, done, destination.Length);
                else await SocketReadiness.WaitReadableAsync(_descriptor, cancellationToken).ConfigureAwait(false);
            }
            return TransportResult.Ok;
        }
        catch (OperationCanceledException)
        {
            return Cancelled("received", done, destination.Length);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // The kernel would not watch the socket: out of descriptors or of watches.
            return new TransportResult(TransportStatus.Failed, $"{Description}: {e.Message}");
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
                (int count, SocketError error) = await SendOnceAsync(bytes[done..], cancellationToken).ConfigureAwait(false);
                if (count >= 0) done += count;
                else if (error != SocketError.WouldBlock) return Failure(error, "sent", done, bytes.Length);
                else await SocketReadiness.WaitWritableAsync(_descriptor, cancellationToken).ConfigureAwait(false);
            }
            return TransportResult.Ok;
        }
        catch (OperationCanceledException)
        {
            return Cancelled("sent", done, bytes.Length);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // The kernel would not watch the socket: out of descriptors or of watches.
            return new TransportResult(TransportStatus.Failed, $"{Description}: {e.Message}");
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>
    /// One receive through the runtime's event loop, which suits a connection that stays asynchronous: the bytes that came, 0 at the
    /// end of the stream, or -1 and the reason.
    /// </summary>
    private async ValueTask<(int Count, SocketError Error)> ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (-1, SocketError.OperationAborted);
        int count = -1;
        try
        {
            count = await _socket.ReceiveAsync(destination, SocketFlags.None, cancellationToken).ConfigureAwait(false);
            return (count, SocketError.Success);
        }
        catch (SocketException e)
        {
            return (-1, e.SocketErrorCode);
        }
        catch (OperationCanceledException)
        {
            return (-1, SocketError.OperationAborted);
        }
        finally
        {
            CountReceived(count);
            Exit();
        }
    }

    /// <summary>One send through the runtime's event loop: the bytes taken, or -1 and the reason.</summary>
    private async ValueTask<(int Count, SocketError Error)> SendSomeAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (-1, SocketError.OperationAborted);
        int count = -1;
        try
        {
            count = await _socket.SendAsync(bytes, SocketFlags.None, cancellationToken).ConfigureAwait(false);
            return (count, SocketError.Success);
        }
        catch (SocketException e)
        {
            return (-1, e.SocketErrorCode);
        }
        catch (OperationCanceledException)
        {
            return (-1, SocketError.OperationAborted);
        }
        finally
        {
            CountSent(count);
            Exit();
        }
    }

    public int TryReceive(Span<byte> destination, out TransportResult? end)
    {
        end = null;
        if (_receiveStopped || !TryEnter())
        {
            end = AbortedResult();
            return 0;
        }

        nint count = SocketSystemCalls.TryReceive(_descriptor, destination, out SocketError error);
        CountReceived(count);
        if (count <= 0 && error != SocketError.WouldBlock) end = ReceiveFailure(error, 0, 0);
        Exit();
        return (int)Math.Max(0, count);
    }

    public void WaitForData()
    {
        if (!TryEnter()) return;
        SocketSystemCalls.WaitReady(_descriptor, SocketSystemCalls.PollIn);
        Exit();
    }

    // The thread that waits stays until something comes or the connection ends: a shutdown of the receiving half would break the peer's sends.
    public void StopReceiving() => _receiveStopped = true;

    async ValueTask<(int Count, TransportResult End)> IControlStream.ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        (int count, SocketError error) = await ReceiveSomeAsync(destination, cancellationToken).ConfigureAwait(false);
        return count > 0 ? (count, TransportResult.Ok) : (0, ReceiveFailure(error, 0, 0));
    }

    async ValueTask<TransportResult> IControlStream.SendSegmentAsync(ReadOnlyMemory<byte> bytes)
    {
        for (int done = 0; done < bytes.Length;)
        {
            (int count, SocketError error) = await SendSomeAsync(bytes[done..], CancellationToken.None).ConfigureAwait(false);
            if (count < 0) return Failure(error, "sent", done, bytes.Length);
            done += count;
        }
        return TransportResult.Ok;
    }

    /// <summary>One receive outside the runtime's event loop: what came, or 0 and how the stream ended.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; no byte was taken.</exception>
    internal async ValueTask<(int Count, TransportResult End)> ReceiveReadyAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (0, AbortedResult());
        try
        {
            while (true)
            {
                (int count, SocketError error) = await ReceiveOnceAsync(destination, cancellationToken).ConfigureAwait(false);
                if (count > 0) return (count, TransportResult.Ok);
                if (error != SocketError.WouldBlock) return (0, ReceiveFailure(error, 0, 0));
                await SocketReadiness.WaitReadableAsync(_descriptor, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            Exit();
        }
    }

    private ValueTask<(int Count, SocketError Error)> ReceiveOnceAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!OperatingSystem.IsLinux()) return ReceiveSomeAsync(destination, cancellationToken);
        nint count = SocketSystemCalls.TryReceive(_descriptor, destination.Span, out SocketError error);
        CountReceived(count);
        return new(((int)count, error));
    }

    private ValueTask<(int Count, SocketError Error)> SendOnceAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!OperatingSystem.IsLinux()) return SendSomeAsync(bytes, cancellationToken);
        nint count = SocketSystemCalls.TrySend(_descriptor, bytes.Span, out SocketError error);
        CountSent(count);
        return new(((int)count, error));
    }

    private TransportResult Cancelled(string what, long done, long total) => _aborted
        ? AbortedResult()
        : new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side after {done} of {total} bytes were {what}");
}
