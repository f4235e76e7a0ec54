namespace KvHandoff.Transport;

/// <summary>Exact transfers: plaintext in records as large as they go.</summary>
internal sealed partial class TlsConnection
{
    // What one write of TLS takes; progress is known between writes only.
    private const int WriteBytes = 8 * RecordBytes;

    private byte[] _gathered = [];

    public TransportResult Receive(Span<byte> destination)
    {
        if (!TryEnter()) return AbortedResult();
        long done = 0;
        try
        {
            return Fill(destination, ref done, destination.Length);
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return ReceiveFailure(e, done, destination.Length);
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult ReceiveVectors(Span<IoRange> ranges)
    {
        if (!TryEnter()) return AbortedResult();
        long done = 0, total = IoRange.TotalBytes(ranges);
        try
        {
            for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
            {
                Span<byte> range = SocketSystemCalls.AsSpan(ranges[0]);
                TransportResult got = Fill(range, ref done, total);
                if (!got.IsOk) return got;
                ranges = IoRange.Advance(ranges, range.Length);
            }
            return TransportResult.Ok;
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return ReceiveFailure(e, done, total);
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult Send(ReadOnlySpan<byte> bytes)
    {
        if (!TryEnterSend()) return AbortedResult();
        long done = 0;
        int total = bytes.Length;
        try
        {
            Write(bytes, ref done);
            _records.Flush();
            return TransportResult.Ok;
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return SendFailure(e, done, total);
        }
        finally
        {
            ExitSend();
        }
    }

    public TransportResult SendVectors(Span<IoRange> ranges)
    {
        if (!TryEnterSend()) return AbortedResult();
        long done = 0, total = IoRange.TotalBytes(ranges);
        try
        {
            WriteRanges(ranges, ref done);
            _records.Flush();
            return TransportResult.Ok;
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return SendFailure(e, done, total);
        }
        finally
        {
            ExitSend();
        }
    }

    public async ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return AbortedResult();
        int done = 0;
        try
        {
            while (done < destination.Length)
            {
                int count = await _tls.ReadAsync(destination[done..], cancellationToken).ConfigureAwait(false);
                if (count == 0) return ReceiveEnd(done, destination.Length);
                CountReceived(count);
                done += count;
            }
            return TransportResult.Ok;
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return ReceiveFailure(e, done, destination.Length);
        }
        finally
        {
            Exit();
        }
    }

    public async ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (!TryEnterSend()) return AbortedResult();
        int done = 0;
        try
        {
            while (done < bytes.Length)
            {
                ReadOnlyMemory<byte> step = bytes.Slice(done, Math.Min(WriteBytes, bytes.Length - done));
                await _tls.WriteAsync(step, cancellationToken).ConfigureAwait(false);
                CountSent(step.Length);
                done += step.Length;
            }
            return TransportResult.Ok;
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return SendFailure(e, done, bytes.Length);
        }
        finally
        {
            ExitSend();
        }
    }

    async ValueTask<(int Count, TransportResult End)> IControlStream.ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (!TryEnter()) return (0, AbortedResult());
        try
        {
            int count = await _tls.ReadAsync(destination, cancellationToken).ConfigureAwait(false);
            if (count == 0) return (0, ReceiveEnd(0, 0));
            CountReceived(count);
            return (count, TransportResult.Ok);
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            return (0, ReceiveFailure(e, 0, 0));
        }
        finally
        {
            Exit();
        }
    }

    ValueTask<TransportResult> IControlStream.SendSegmentAsync(ReadOnlyMemory<byte> bytes) => SendAsync(bytes, CancellationToken.None);

    private TransportResult Fill(Span<byte> destination, ref long done, long total)
    {
        while (!destination.IsEmpty)
        {
            int count = _tls.Read(destination);
            if (count == 0) return ReceiveEnd(done, total);
            CountReceived(count);
            done += count;
            destination = destination[count..];
        }
        return TransportResult.Ok;
    }

    private void Write(ReadOnlySpan<byte> bytes, ref long done)
    {
        while (!bytes.IsEmpty)
        {
            ReadOnlySpan<byte> step = bytes[..Math.Min(WriteBytes, bytes.Length)];
            _tls.Write(step);
            CountSent(step.Length);
            done += step.Length;
            bytes = bytes[step.Length..];
        }
    }

    // Whole records leave from where they lie; what is smaller, or left over, is gathered into a record first.
    private void WriteRanges(Span<IoRange> ranges, ref long done)
    {
        if (_gathered.Length == 0) _gathered = GC.AllocateUninitializedArray<byte>(RecordBytes);
        int gathered = 0;
        for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
        {
            Span<byte> range = SocketSystemCalls.AsSpan(ranges[0]);
            int taken;
            if (gathered == 0 && range.Length >= RecordBytes)
            {
                taken = range.Length & -RecordBytes;
                Write(range[..taken], ref done);
            }
            else
            {
                taken = Math.Min(range.Length, RecordBytes - gathered);
                range[..taken].CopyTo(_gathered.AsSpan(gathered));
                gathered += taken;
                if (gathered == RecordBytes)
                {
                    Write(_gathered, ref done);
                    gathered = 0;
                }
            }
            ranges = IoRange.Advance(ranges, taken);
        }
        Write(_gathered.AsSpan(0, gathered), ref done);
    }
}
