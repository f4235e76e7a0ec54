using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>The asynchronous path: prefaces, and the control pipe.</summary>
internal sealed partial class SocketConnection
{
    public async ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        for (int done = 0; done < destination.Length;)
        {
            (int count, SocketError error) = await ReceiveSomeAsync(destination[done..], cancellationToken).ConfigureAwait(false);
            if (count <= 0) return error == SocketError.OperationAborted
                ? Cancelled("received", done, destination.Length)
                : ReceiveFailure(error, done, destination.Length);
            done += count;
        }
        return _aborted ? AbortedResult() : TransportResult.Ok;
    }

    public async ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        for (int done = 0; done < bytes.Length;)
        {
            (int count, SocketError error) = await SendSomeAsync(bytes[done..], cancellationToken).ConfigureAwait(false);
            if (error != SocketError.Success) return error == SocketError.OperationAborted
                ? Cancelled("sent", done, bytes.Length)
                : Failure(error, "sent", done, bytes.Length);
            done += count;
        }
        return _aborted ? AbortedResult() : TransportResult.Ok;
    }

    /// <summary>One receive: the bytes that came, 0 at the end of the stream, or -1 and the reason (OperationAborted when cancelled).</summary>
    internal async ValueTask<(int Count, SocketError Error)> ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (-1, SocketError.OperationAborted);
        EnterAsync();
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
            ExitAsync();
            Exit();
        }
    }

    /// <summary>One send: the bytes taken, or -1 and the reason (OperationAborted when cancelled).</summary>
    internal async ValueTask<(int Count, SocketError Error)> SendSomeAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (-1, SocketError.OperationAborted);
        EnterAsync();
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
            ExitAsync();
            Exit();
        }
    }

    internal TransportResult ReceiveEnded(SocketError error) => error == SocketError.OperationAborted
        ? AbortedResult()
        : ReceiveFailure(error, 0, 0);

    internal TransportResult SendEnded(SocketError error, long done, long total) => error == SocketError.OperationAborted
        ? AbortedResult()
        : Failure(error, "sent", done, total);

    private void EnterAsync()
    {
        lock (_modeGate)
        {
            _asyncCalls++;
            // The runtime believes that the descriptor is still non-blocking; a blocking one would hold up its event loop.
            if (!_madeBlocking) return;
            SocketSystemCalls.SetNonBlocking(_descriptor, true);
            _madeBlocking = false;
        }
    }

    private void ExitAsync()
    {
        lock (_modeGate) _asyncCalls--;
    }

    private TransportResult Cancelled(string what, long done, long total) => _aborted
        ? AbortedResult()
        : new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side after {done} of {total} bytes were {what}");
}
