using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>
/// The reading end of a control connection. While the peer answers at once, whoever reads takes the bytes off the ring itself, after a
/// short spin: no other thread is woken on the way. When that fails, and when nobody reads, a thread of its own waits and fills the pipe.
/// </summary>
internal sealed class SharedMemoryPipeInput : PipeReader
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10, ReceiveBytes = 4 << 10, StackBytes = 256 << 10;

    private readonly SharedMemoryConnection _connection;
    private readonly Pipe _pipe = new(new PipeOptions(
        pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, useSynchronizationContext: false));

    private readonly EndingReader _inner;

    // Held by whoever takes bytes off the ring, until they are in the pipe.
    private readonly Lock _gate = new();

    // The last flush; a pipe takes no second one before the first has been heard of. Read and written under the gate.
    private Task<bool> _flushing = Task.FromResult(true);

    // Set while the thread is to wait for the ring; reset while the reader does so itself.
    private readonly ManualResetEventSlim _threadWaits = new(true);

    public SharedMemoryPipeInput(SharedMemoryConnection connection)
    {
        _connection = connection;
        _inner = new EndingReader(_pipe.Reader);
        new Thread(Fill, StackBytes) { IsBackground = true, Name = "kvhandoff-shm-control" }.Start();
    }

    /// <summary>The connection has ended: the thread stops waiting, also for an input that nobody reads.</summary>
    public void StopWaiting()
    {
        _threadWaits.Set();
        _pipe.Writer.CancelPendingFlush();
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (!cancellationToken.IsCancellationRequested)
        {
            if (_inner.TryRead(out ReadResult there)) return new(there);
            if (_connection.SpinForData() && TryTake() && _inner.TryRead(out there)) return new(there);
        }
        _threadWaits.Set();
        return _inner.ReadAsync(cancellationToken);
    }

    public override bool TryRead(out ReadResult result) => _inner.TryRead(out result);

    public override void AdvanceTo(SequencePosition consumed) => _inner.AdvanceTo(consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => _inner.AdvanceTo(consumed, examined);

    public override void CancelPendingRead() => _inner.CancelPendingRead();

    public override void Complete(Exception? exception = null)
    {
        _inner.Complete(exception);
        _connection.StopReceiving();
        _threadWaits.Set();
    }

    /// <summary>Moves what is on the ring into the pipe, which has room: the reader has seen all that it holds.</summary>
    private bool TryTake()
    {
        if (!_gate.TryEnter()) return false;
        try
        {
            if (!_flushing.IsCompleted) return false;
            int count = _connection.TryReceive(_pipe.Writer.GetMemory(ReceiveBytes).Span, out _);
            if (count == 0) return false;
            _threadWaits.Reset();
            _flushing = Flush(count);
            return true;
        }
        finally
        {
            _gate.Exit();
        }
    }

    private void Fill()
    {
        TransportResult? end = null;
        while (end is null)
        {
            _threadWaits.Wait();
            _connection.WaitForData();
            Task<bool> flushing;
            lock (_gate)
            {
                // The reader has come in between, and may have taken what this thread was woken for.
                if (!_threadWaits.IsSet) continue;
                if (_flushing.IsCompleted)
                {
                    int count = _connection.TryReceive(_pipe.Writer.GetMemory(ReceiveBytes).Span, out end);
                    if (count > 0) _flushing = Flush(count);
                }
                flushing = _flushing;
            }
            if (!flushing.GetAwaiter().GetResult()) end ??= TransportResult.Ok;
        }
        lock (_gate) _pipe.Writer.Complete(ToException(end.Value));
    }

    /// <summary>False when nobody reads any more.</summary>
    private Task<bool> Flush(int count)
    {
        _pipe.Writer.Advance(count);
        ValueTask<FlushResult> flush = _pipe.Writer.FlushAsync();
        return flush.IsCompletedSuccessfully ? Task.FromResult(!flush.Result.IsCompleted) : FinishAsync(flush);
    }

    private static async Task<bool> FinishAsync(ValueTask<FlushResult> flush) => !(await flush.ConfigureAwait(false)).IsCompleted;

    /// <summary>What a control pipe tells of the end of its stream: nothing when it was in order.</summary>
    internal static TransportException? ToException(TransportResult end) =>
        end.Status is TransportStatus.Ok or TransportStatus.Closed ? null : new TransportException(end.Status, end.Message!);
}
