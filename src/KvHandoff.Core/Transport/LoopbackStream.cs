namespace KvHandoff.Transport;

/// <summary>
/// One direction of a loopback connection: a bounded queue of bytes between one writer and one reader, blocking or asynchronous.
/// </summary>
internal sealed class LoopbackStream
{
    /// <summary>Most bytes that wait for the reader.</summary>
    internal const int CapacityBytes = 64 << 10;

    private readonly byte[] _ring = new byte[CapacityBytes];
    private readonly object _gate = new();
    private TaskCompletionSource? _readable, _writable;
    private int _head, _count;
    private bool _ended, _readerLeft, _broken;

    /// <summary>Moves what is there, at least one byte; 0 with the end of the stream, or 0 and Ok when it would have to wait and must not.</summary>
    public int Read(Span<byte> destination, bool wait, out TransportStatus status)
    {
        lock (_gate)
        {
            while (true)
            {
                status = TransportStatus.Ok;
                if (_readerLeft) status = TransportStatus.Aborted;
                else if (_broken) status = TransportStatus.Reset;
                else if (_count == 0 && _ended) status = TransportStatus.Closed;
                if (status != TransportStatus.Ok) return 0;
                if (_count > 0) break;
                if (!wait) return 0;
                Monitor.Wait(_gate);
            }
            int count = Math.Min(destination.Length, _count), first = Math.Min(count, _ring.Length - _head);
            _ring.AsSpan(_head, first).CopyTo(destination);
            _ring.AsSpan(0, count - first).CopyTo(destination[first..]);
            _head = (_head + count) % _ring.Length;
            _count -= count;
            Changed();
            return count;
        }
    }

    /// <summary>Moves what there is room for, at least one byte; 0 with the reason, or 0 and Ok when it would have to wait and must not.</summary>
    public int Write(ReadOnlySpan<byte> bytes, bool wait, out TransportStatus status)
    {
        lock (_gate)
        {
            while (true)
            {
                status = _broken ? TransportStatus.Aborted : _readerLeft || _ended ? TransportStatus.Reset : TransportStatus.Ok;
                if (status != TransportStatus.Ok) return 0;
                if (_count < _ring.Length) break;
                if (!wait) return 0;
                Monitor.Wait(_gate);
            }
            int tail = (_head + _count) % _ring.Length;
            int count = Math.Min(bytes.Length, _ring.Length - _count), first = Math.Min(count, _ring.Length - tail);
            bytes[..first].CopyTo(_ring.AsSpan(tail));
            bytes[first..count].CopyTo(_ring);
            _count += count;
            Changed();
            return count;
        }
    }

    /// <summary>Completes when <see cref="Read"/> would not wait.</summary>
    public Task WaitReadableAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_count > 0 || _ended || _readerLeft || _broken) return Task.CompletedTask;
            _readable ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _readable.Task.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Completes when <see cref="Write"/> would not wait.</summary>
    public Task WaitWritableAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_count < _ring.Length || _ended || _readerLeft || _broken) return Task.CompletedTask;
            _writable ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _writable.Task.WaitAsync(cancellationToken);
        }
    }

    /// <summary>The writer is done: the reader gets what is left, then the end.</summary>
    public void End()
    {
        lock (_gate)
        {
            _ended = true;
            Changed();
        }
    }

    /// <summary>The writer gave up: what the reader has not taken is lost.</summary>
    public void Break()
    {
        lock (_gate)
        {
            _broken = true;
            _count = 0;
            Changed();
        }
    }

    /// <summary>The reader takes nothing more.</summary>
    public void LeaveReader()
    {
        lock (_gate)
        {
            _readerLeft = true;
            _count = 0;
            Changed();
        }
    }

    // Both sides look again: with one writer and one reader that is cheaper than telling them apart.
    private void Changed()
    {
        Monitor.PulseAll(_gate);
        Interlocked.Exchange(ref _readable, null)?.TrySetResult();
        Interlocked.Exchange(ref _writable, null)?.TrySetResult();
    }
}
