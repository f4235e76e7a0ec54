namespace KvHandoff.Transport;

/// <summary>
/// The ciphertext side of a TLS connection, as the stream that SslStream works on. Blocking calls collect records and send many with
/// one system call; asynchronous calls never block.
/// </summary>
internal sealed class TlsRecordStream(SocketConnection connection) : Stream
{
    /// <summary>Ciphertext collected by blocking sends, and taken by one blocking receive.</summary>
    private const int BatchBytes = 8 * (TlsConnection.RecordBytes + RecordOverheadBytes);

    // Header, content type, tag, and room for padding.
    private const int RecordOverheadBytes = 256;

    // A TLS record: its type, and the version 3.x.
    private const int RecordStartBytes = 2;

    private byte[] _outgoing = [], _incoming = [];
    private int _outgoingBytes, _incomingAt, _incomingEnd;
    private int _startBytes;
    private byte _firstByte, _secondByte;
    private volatile bool _dropWrites;

    /// <summary>How the stream from the peer ended: Closed without any end of the TLS stream is a cut wire. Ok while it has not.</summary>
    public TransportResult ReceiveEnd { get; private set; }

    /// <summary>Why ciphertext could not be sent; Ok while it could.</summary>
    public TransportResult SendEnd { get; private set; }

    /// <summary>What came first was no TLS record.</summary>
    public bool PeerIsNotTls => (_startBytes > 0 && _firstByte is < 20 or > 23) || (_startBytes > 1 && _secondByte != 3);

    /// <summary>The peer sent at least one byte.</summary>
    public bool PeerSpoke => _startBytes > 0;

    /// <summary>From here on writes are tried once, without waiting, and lost when there is no room: for the last words of a disposal.</summary>
    public void StopWaiting() => _dropWrites = true;

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Sends what blocking writes have collected.</summary>
    public override void Flush()
    {
        int count = _outgoingBytes;
        _outgoingBytes = 0;
        if (count > 0) Transmit(_outgoing.AsSpan(0, count));
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // SslStream asks for nothing first, to rent its buffer only when something has come: it may as well have it now.
    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty) return 0;
        if (_incomingAt == _incomingEnd)
        {
            if (_incoming.Length == 0) _incoming = GC.AllocateUninitializedArray<byte>(BatchBytes);
            _incomingAt = 0;
            _incomingEnd = connection.ReceiveSome(_incoming, out TransportResult end);
            if (_incomingEnd == 0) return Ended(end);
            NoteStart(_incoming.AsSpan(0, _incomingEnd));
        }
        return TakeWaiting(buffer);
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty) return 0;
        if (_incomingAt < _incomingEnd) return TakeWaiting(buffer.Span);
        (int count, TransportResult end) = await connection.ReceiveReadyAsync(buffer, cancellationToken).ConfigureAwait(false);
        if (count == 0) return Ended(end);
        NoteStart(buffer.Span[..count]);
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (_outgoing.Length == 0) _outgoing = GC.AllocateUninitializedArray<byte>(BatchBytes);
        if (buffer.Length > _outgoing.Length - _outgoingBytes) Flush();
        if (buffer.Length > _outgoing.Length)
        {
            Transmit(buffer);
            return;
        }
        buffer.CopyTo(_outgoing.AsSpan(_outgoingBytes));
        _outgoingBytes += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_dropWrites)
        {
            connection.TrySendOnce(buffer.Span);
            return;
        }
        TransportResult sent = await connection.SendAsync(buffer, cancellationToken).ConfigureAwait(false);
        if (sent.IsOk) return;
        cancellationToken.ThrowIfCancellationRequested();
        SendEnd = sent;
        throw new IOException(sent.Message);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private void Transmit(ReadOnlySpan<byte> bytes)
    {
        TransportResult sent = connection.Send(bytes);
        if (sent.IsOk) return;
        SendEnd = sent;
        throw new IOException(sent.Message);
    }

    private int TakeWaiting(Span<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _incomingEnd - _incomingAt);
        _incoming.AsSpan(_incomingAt, count).CopyTo(buffer);
        _incomingAt += count;
        return count;
    }

    private int Ended(TransportResult end)
    {
        ReceiveEnd = end;
        if (end.Status == TransportStatus.Closed) return 0;
        throw new IOException(end.Message);
    }

    private void NoteStart(ReadOnlySpan<byte> bytes)
    {
        if (_startBytes == RecordStartBytes || bytes.IsEmpty) return;
        if (_startBytes == 0) _firstByte = bytes[0];
        int second = 1 - _startBytes;
        if (bytes.Length > second) _secondByte = bytes[second];
        _startBytes = Math.Min(RecordStartBytes, _startBytes + bytes.Length);
    }
}
