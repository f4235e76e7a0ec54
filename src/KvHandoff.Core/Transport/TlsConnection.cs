using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace KvHandoff.Transport;

/// <summary>A connection over an authenticated SslStream, which it owns with the socket under it. Counters count plaintext.</summary>
internal sealed partial class TlsConnection : IConnection, IControlStream
{
    /// <summary>Plaintext of the largest TLS record.</summary>
    internal const int RecordBytes = 16 << 10;

    // Post-handshake records that nobody has read: far more than any peer has reason to send.
    private const int MostUnreadBytes = 64 << 10;

    private readonly SocketConnection _socket;
    private readonly TlsRecordStream _records;
    private readonly SslStream _tls;
    private readonly TimeSpan _drainTimeout;
    private readonly Lock _pipeGate = new();
    private ConnectionUse _use;
    private ControlPipe? _pipe;
    private Task _ending = Task.CompletedTask;
    private long _bytesSent, _bytesReceived, _calls;
    private volatile bool _aborted;
    private bool _sendEnded, _peerEnded;
    private int _sending, _disposed;

    public TlsConnection(SocketConnection socket, TlsRecordStream records, SslStream tls, TransportOptions options)
    {
        _socket = socket;
        _records = records;
        _tls = tls;
        _drainTimeout = options.DrainTimeout;
        Description = $"{socket.Description}, {tls.NegotiatedCipherSuite}";
    }

    public EndPoint? Remote => _socket.Remote;

    public string Description { get; }

    public TransportCounters Counters => new(Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _bytesReceived), Interlocked.Read(ref _calls));

    public TransportResult CompleteSend()
    {
        if (!TryEnterSend()) return AbortedResult();
        if (_sendEnded)
        {
            ExitSend();
            return TransportResult.Ok;
        }
        _sendEnded = true;
        // The words are few; where even they have no room they follow when the peer has read, and disposal waits for them.
        _ending = EndSendAsync();
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
        _socket.Abort();
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        if (!_aborted) SayGoodbye();
        _aborted = true;
        _socket.DiscardReceived(MostUnreadBytes);
        _socket.Dispose();
        if (_use.Close()) _tls.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        if (_pipe is { } pipe && !_aborted) await pipe.WaitForOutputAsync(_drainTimeout).ConfigureAwait(false);
        if (!_aborted) await Task.WhenAny(_ending, Task.Delay(_drainTimeout)).ConfigureAwait(false);
        Dispose();
    }

    private async Task EndSendAsync()
    {
        try
        {
            await _tls.ShutdownAsync().ConfigureAwait(false);
            _socket.CompleteSend();
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            // The connection is gone: nobody is left to be told.
        }
        finally
        {
            ExitSend();
        }
    }

    /// <summary>Tells the peer that this end was meant, unless a send is under way, whose end it cuts off in any case.</summary>
    private void SayGoodbye()
    {
        if (_sendEnded || !TryEnterSend()) return;
        _sendEnded = true;
        _records.StopWaiting();
        // Never waits: its only write is tried once.
        _ = EndSendAsync();
    }

    private bool TryEnter() => !_aborted && _use.TryEnter();

    private void Exit()
    {
        if (_use.Exit()) _tls.Dispose();
    }

    private bool TryEnterSend()
    {
        if (!TryEnter()) return false;
        if (Interlocked.CompareExchange(ref _sending, 1, 0) == 0) return true;
        Exit();
        return false;
    }

    private void ExitSend()
    {
        Volatile.Write(ref _sending, 0);
        Exit();
    }

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

    private TransportResult AbortedResult() => new(TransportStatus.Aborted, $"{Description}: aborted on this side");

    private TransportResult SendFailure(Exception e, long done, long total)
    {
        if (_aborted) return AbortedResult();
        string counts = $"after {done} of {total} bytes were sent";
        if (e is OperationCanceledException)
            return new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side {counts}");
        if (_sendEnded) return new TransportResult(TransportStatus.Reset, $"{Description}: the sent stream was ended already, {counts}");
        TransportStatus status = _records.SendEnd.IsOk ? TransportStatus.Failed : _records.SendEnd.Status;
        return new TransportResult(status, $"{Description}: {Reason(e)} {counts}");
    }

    private TransportResult ReceiveFailure(Exception e, long done, long total)
    {
        if (_aborted) return AbortedResult();
        string counts = $"after {done} of {total} bytes were received";
        if (e is OperationCanceledException)
            return new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side {counts}");
        // Inside a record even an orderly end of the socket cuts a message.
        TransportStatus status = _records.ReceiveEnd.Status switch
        {
            TransportStatus.Ok => TransportStatus.Failed,
            TransportStatus.Closed => TransportStatus.Truncated,
            TransportStatus other => other,
        };
        return new TransportResult(status, $"{Description}: {Reason(e)} {counts}");
    }

    private TransportResult ReceiveEnd(long done, long total)
    {
        if (_aborted) return AbortedResult();
        if (!_peerEnded && !_records.ReceiveEnd.IsOk)
            return new TransportResult(TransportStatus.Truncated,
                $"{Description}: the socket ended without the end of the TLS stream (close_notify) after {done} of {total} bytes were received");
        _peerEnded = true;
        return SocketErrors.EndOfStream(Description, done, total);
    }

    /// <summary>The messages of an exception and of those inside it, the last of which is the TLS library's own.</summary>
    internal static string Reason(Exception e) => e.InnerException is { } inner ? $"{e.Message} ({Reason(inner)})" : e.Message;

    private static bool IsStreamFailure(Exception e) => e is IOException or SocketException or AuthenticationException
        or InvalidOperationException or NotSupportedException or OperationCanceledException;
}
