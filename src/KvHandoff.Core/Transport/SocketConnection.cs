using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>A connection over a connected stream socket, which it owns.</summary>
internal sealed partial class SocketConnection : IConnection, IPolledStream, IPolledConnection
{
    private readonly Socket _socket;
    private readonly int _descriptor;
    private readonly TimeSpan _drainTimeout;
    private readonly Lock _pipeGate = new();
    private ConnectionUse _use;
    private ControlPipe? _pipe;
    private long _bytesSent, _bytesReceived, _calls;
    private volatile bool _aborted, _receiveStopped;
    private int _disposed;

    /// <param name="socket">Connected; owned from here on.</param>
    /// <param name="transport">Name for messages.</param>
    /// <param name="options">Settings.</param>
    /// <param name="addresses">Both ends for messages, where the socket's own addresses do not say enough.</param>
    public SocketConnection(Socket socket, string transport, TransportOptions options, string? addresses = null)
    {
        _socket = socket;
        _descriptor = (int)socket.SafeHandle.DangerousGetHandle();
        _drainTimeout = options.DrainTimeout;
        Remote = SocketErrors.RemoteOf(socket);
        Description = $"{transport} {addresses ?? $"{socket.LocalEndPoint} -> {Remote}"}";
    }

    public EndPoint? Remote { get; }

    public string Description { get; }

    public TransportCounters Counters => new(Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _bytesReceived), Interlocked.Read(ref _calls));

    public TransportResult CompleteSend()
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
            return TransportResult.Ok;
        }
        catch (SocketException e)
        {
            return Failure(e.SocketErrorCode, "end of the sent stream", 0, 0);
        }
        finally
        {
            Exit();
        }
    }

    public bool HasData
    {
        get
        {
            if (!TryEnter()) return true;
            bool ready = SocketSystemCalls.IsReady(_descriptor, SocketSystemCalls.PollIn);
            Exit();
            return ready;
        }
    }

    public IDuplexPipe AsPipe()
    {
        lock (_pipeGate)
            return _pipe ??= new ControlPipe(this);
    }

    public void Abort()
    {
        _aborted = true;
        if (_use.TryEnter())
        {
            // Zero linger: what the peer has not taken is dropped at close instead of kept alive by the kernel.
            Shutdown(dropUnsent: true);
            Exit();
        }

        _pipe?.StopWaiting();
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _aborted = true;
        // Wakes the calls inside; with none inside, closing alone ends the stream in order.
        if (_use.TryEnter())
        {
            Shutdown(dropUnsent: false);
            Exit();
        }
        if (_use.Close()) _socket.Dispose();
        _pipe?.StopWaiting();
    }

    public async ValueTask DisposeAsync()
    {
        if (_pipe is { } pipe && !_aborted) await pipe.WaitForOutputAsync(_drainTimeout).ConfigureAwait(false);
        Dispose();
    }

    private bool TryEnter() => !_aborted && _use.TryEnter();

    private void Exit()
    {
        if (_use.Exit()) _socket.Dispose();
    }

    private void Shutdown(bool dropUnsent)
    {
        try
        {
            if (dropUnsent) _socket.LingerState = new LingerOption(true, 0);
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // Not connected any more: there is nobody to tell.
        }
    }

    private void CountSent(nint bytes)
    {
        Interlocked.Increment(ref _calls);
        if (bytes > 0) Interlocked.Add(ref _bytesSent, bytes);
    }

    private void CountReceived(nint bytes)
    {
        Interlocked.Increment(ref _calls);
        if (bytes > 0) Interlocked.Add(ref _bytesReceived, bytes);
    }

    private TransportResult AbortedResult() => new(TransportStatus.Aborted, $"{Description}: aborted on this side");

    private TransportResult Failure(SocketError error, string what, long done, long total)
    {
        if (_aborted) return AbortedResult();
        return SocketErrors.ToResult(error, Description, what, done, total);
    }
}
