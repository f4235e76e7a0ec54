using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>
/// A control connection: one loop fills the input pipe from the stream, or whoever polls it does; the output is sent by whoever flushes it.
/// </summary>
internal sealed class ControlPipe : IDuplexPipe
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10, ReceiveBytes = 4 << 10;

    // The other side of a pipe runs on the thread that flushes: a hop to another one costs more than what it has to do.
    private static readonly PipeOptions Bounded = new(
        readerScheduler: PipeScheduler.Inline, pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, useSynchronizationContext: false);

    private readonly IControlStream _stream;
    private readonly Pipe _output = new(Bounded);
    private readonly PolledInput? _polled;
    private readonly EndingWriter _writer;
    private readonly Task _draining;

    public ControlPipe(IControlStream stream)
    {
        _stream = stream;
        if (stream is IPolledStream polled && OperatingSystem.IsLinux())
        {
            _polled = new PolledInput(polled);
            Input = _polled.Reader;
        }
        else
        {
            var input = new Pipe(Bounded);
            var reader = new EndingReader(input.Reader);
            Input = reader;
            _ = FillInputAsync(input.Writer, reader.Completed);
        }

        _writer = new EndingWriter(_output.Writer);
        _draining = DrainOutputAsync();
    }

    public PipeReader Input { get; }

    public PipeWriter Output => _writer;

    /// <summary>Waits until a completed output has been sent; returns at once when the output was not completed.</summary>
    public Task WaitForOutputAsync(TimeSpan timeout) =>
        _writer.IsCompleted ? Task.WhenAny(_draining, Task.Delay(timeout)) : Task.CompletedTask;

    /// <summary>The connection has ended.</summary>
    public void StopWaiting() => _polled?.StopWaiting();

    /// <summary>Hands what has come to the reader, which runs inside the call; false when there is nothing, or another thread is at it.</summary>
    public bool TryPump() => _polled?.TryPump() ?? false;

    /// <summary>Whoever pumped does so no longer.</summary>
    public void StopPumping() => _polled?.StopPumping();

    /// <summary>Whether pumping does something.</summary>
    public bool CanPump => _polled is not null;

    private async Task FillInputAsync(PipeWriter writer, CancellationToken stopped)
    {
        TransportResult end;
        while (true)
        {
            Memory<byte> free = writer.GetMemory(ReceiveBytes);
            (int count, end) = await _stream.ReceiveSomeAsync(free, stopped).ConfigureAwait(false);
            if (count <= 0) break;
            writer.Advance(count);
            FlushResult flushed = await writer.FlushAsync().ConfigureAwait(false);
            if (!flushed.IsCompleted) continue;
            end = TransportResult.Ok;
            break;
        }
        writer.Complete(ToException(end));
    }

    private async Task DrainOutputAsync()
    {
        PipeReader reader = _output.Reader;
        try
        {
            TransportResult end = TransportResult.Ok;
            for (bool last = false; !last && end.IsOk;)
            {
                ReadResult read = await reader.ReadAsync().ConfigureAwait(false);
                last = read.IsCompleted;
                foreach (ReadOnlyMemory<byte> segment in read.Buffer)
                    if (end.IsOk) end = await _stream.SendSegmentAsync(segment).ConfigureAwait(false);
                // After a failure the writer is to wake by the failure, not by the room that this would make.
                if (end.IsOk) reader.AdvanceTo(read.Buffer.End);
            }
            if (end.IsOk) end = _stream.CompleteSend();
            reader.Complete(ToException(end));
        }
        catch (Exception e)
        {
            // The writer was completed with an error: what it wrote last is not to look like an orderly end.
            _stream.Abort();
            reader.Complete(e);
        }
    }

    /// <summary>What a control pipe tells of the end of its stream: nothing when it was in order.</summary>
    internal static TransportException? ToException(TransportResult end) =>
        end.Status is TransportStatus.Ok or TransportStatus.Closed ? null : new TransportException(end.Status, end.Message!);
}
