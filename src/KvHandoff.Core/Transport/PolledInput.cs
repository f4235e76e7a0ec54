using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>
/// The reading end of a control connection that can be polled. Who waits for an answer pumps the stream by itself, and the reader runs on its
/// thread: no other thread is woken on the way. When nobody pumps, a thread waits.
/// </summary>
internal sealed class PolledInput
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10, ReceiveBytes = 4 << 10, StackBytes = 256 << 10, LookAwayMilliseconds = 1;

    private readonly IPolledStream _stream;
    private readonly Pipe _pipe = new(new PipeOptions(
        pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));

    // Held by whoever takes bytes off the stream, until the reader has seen them.
    private readonly Lock _gate = new();

    // Wakes the thread while it looks away.
    private readonly ManualResetEventSlim _look = new(false);

    // The last flush; a pipe takes no second one before the first has been heard of. Read and written under the gate.
    private Task<bool> _flushing = Task.FromResult(true);

    // The pipe has been completed. Under the gate.
    private bool _ended;

    // Set by who pumps: the thread then looks away for a while, instead of being woken for each message.
    private int _pumped;

    public PolledInput(IPolledStream stream)
    {
        _stream = stream;
        var reader = new EndingReader(_pipe.Reader);
        reader.Completed.UnsafeRegister(static self => ((PolledInput)self!).Stop(), this);
        Reader = reader;
        new Thread(Fill, StackBytes) { IsBackground = true, Name = "kvhandoff-control" }.Start();
    }

    public PipeReader Reader { get; }

    /// <summary>The connection has ended: the thread stops waiting, also for an input that nobody reads.</summary>
    public void StopWaiting()
    {
        _look.Set();
        _pipe.Writer.CancelPendingFlush();
    }

    /// <summary>Hands what is there to the reader, which runs inside the call; false when there is nothing, or another thread is at it.</summary>
    public bool TryPump()
    {
        Volatile.Write(ref _pumped, 1);
        if (_gate.IsHeldByCurrentThread || !_gate.TryEnter()) return false;
        try
        {
            if (_ended || !_flushing.IsCompleted) return false;
            int count = _stream.TryReceive(_pipe.Writer.GetMemory(ReceiveBytes).Span, out TransportResult? end);
            // Its end is the thread's to tell.
            if (count == 0 && end is not null) _look.Set();
            if (count == 0) return false;
            _flushing = Flush(count);
            return true;
        }
        finally
        {
            _gate.Exit();
        }
    }

    /// <summary>Nobody pumps from here on: the thread looks at once.</summary>
    public void StopPumping()
    {
        if (Interlocked.Exchange(ref _pumped, 0) != 0) _look.Set();
    }

    private void Stop()
    {
        _stream.StopReceiving();
        StopWaiting();
    }

    private void Fill()
    {
        TransportResult? end = null;
        while (end is null)
        {
            if (Interlocked.Exchange(ref _pumped, 0) != 0)
            {
                _look.Wait(LookAwayMilliseconds);
                _look.Reset();
                if (Volatile.Read(ref _pumped) != 0) continue;
            }

            _stream.WaitForData();
            Task<bool> flushing;
            lock (_gate)
            {
                if (_flushing.IsCompleted)
                {
                    int count = _stream.TryReceive(_pipe.Writer.GetMemory(ReceiveBytes).Span, out end);
                    if (count > 0) _flushing = Flush(count);
                }

                flushing = _flushing;
            }

            if (!flushing.GetAwaiter().GetResult()) end ??= TransportResult.Ok;
        }

        lock (_gate)
        {
            _ended = true;
            _pipe.Writer.Complete(ControlPipe.ToException(end.Value));
        }
    }

    /// <summary>False when nobody reads any more.</summary>
    private Task<bool> Flush(int count)
    {
        _pipe.Writer.Advance(count);
        ValueTask<FlushResult> flush = _pipe.Writer.FlushAsync();
        return flush.IsCompletedSuccessfully ? Task.FromResult(!flush.Result.IsCompleted) : FinishAsync(flush);
    }

    private static async Task<bool> FinishAsync(ValueTask<FlushResult> flush) => !(await flush.ConfigureAwait(false)).IsCompleted;
}
