using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>A control connection: one loop fills the input pipe from the stream, one drains the output pipe to it.</summary>
internal sealed class ControlPipe : IDuplexPipe
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10, ReceiveBytes = 4 << 10;

    private static readonly PipeOptions Bounded = new(
        pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, useSynchronizationContext: false);

    private readonly IControlStream _stream;
    private readonly Pipe _input = new(Bounded), _output = new(Bounded);
    private readonly EndingReader _reader;
    private readonly EndingWriter _writer;
    private readonly Task _draining;

    public ControlPipe(IControlStream stream)
    {
        _stream = stream;
        _reader = new EndingReader(_input.Reader);
        _writer = new EndingWriter(_output.Writer);
        _ = FillInputAsync();
        _draining = DrainOutputAsync();
    }

    public PipeReader Input => _reader;

    public PipeWriter Output => _writer;

    /// <summary>Waits until a completed output has been sent; returns at once when the output was not completed.</summary>
    public Task WaitForOutputAsync(TimeSpan timeout) =>
        _writer.IsCompleted ? Task.WhenAny(_draining, Task.Delay(timeout)) : Task.CompletedTask;

    private async Task FillInputAsync()
    {
        PipeWriter writer = _input.Writer;
        TransportResult end;
        while (true)
        {
            Memory<byte> free = writer.GetMemory(ReceiveBytes);
            (int count, end) = await _stream.ReceiveSomeAsync(free, _reader.Completed).ConfigureAwait(false);
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

    private static TransportException? ToException(TransportResult end) =>
        end.Status is TransportStatus.Ok or TransportStatus.Closed ? null : new TransportException(end.Status, end.Message!);
}
