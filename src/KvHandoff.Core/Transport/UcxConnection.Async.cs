namespace KvHandoff.Transport;

/// <summary>The asynchronous path, for prefaces and the control pipe: the progress thread tells when something has changed.</summary>
internal sealed partial class UcxConnection
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
                Task change;
                lock (_gate)
                {
                    int count = _input.Take(destination.Span[done..]);
                    done += count;
                    if (AfterTaking(count)) continue;
                    if (ReceiveEnd(done, destination.Length) is { } end) return end;
                    if (Pump()) continue;
                    Interlocked.Increment(ref _calls);
                    change = ChangeAsync();
                }

                await change.WaitAsync(cancellationToken).ConfigureAwait(false);
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
                Task change;
                lock (_gate)
                {
                    if (SendEnd(done, bytes.Length) is { } end) return end;
                    int slot = FreeSlot(out int room);
                    if (slot >= 0)
                    {
                        int count = Math.Min(room, bytes.Length - done);
                        _data.TryCopy(slot, bytes.Span.Slice(done, count));
                        Submit(slot, count);
                        done += count;
                        continue;
                    }

                    if (Pump()) continue;
                    Interlocked.Increment(ref _calls);
                    change = ChangeAsync();
                }

                await change.WaitAsync(cancellationToken).ConfigureAwait(false);
            }

            // What has not left yet is the progress thread's to send.
            Wish(atOnce: false);
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
        throw new NotSupportedException("The input of a UCX connection is polled.");

    private TransportResult Cancelled(string what, long done, long total) => _aborted
        ? AbortedResult()
        : new TransportResult(TransportStatus.Aborted, $"{Description}: cancelled on this side after {done} of {total} bytes were {what}");
}
