using System.Buffers;
using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>A control connection over rings. Its output is copied into the ring by whoever flushes it.</summary>
internal sealed class SharedMemoryPipe : IDuplexPipe
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10;

    private readonly SharedMemoryConnection _connection;
    private readonly SharedMemoryPipeInput _input;
    private readonly Pipe _output = new(new PipeOptions(
        pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));

    private readonly EndingWriter _writer;
    private readonly Task _draining;

    public SharedMemoryPipe(SharedMemoryConnection connection)
    {
        _connection = connection;
        _input = new SharedMemoryPipeInput(connection);
        _writer = new EndingWriter(_output.Writer);
        _draining = DrainOutputAsync();
    }

    public PipeReader Input => _input;

    public PipeWriter Output => _writer;

    /// <summary>Waits until a completed output has been sent; returns at once when the output was not completed.</summary>
    public Task WaitForOutputAsync(TimeSpan timeout) =>
        _writer.IsCompleted ? Task.WhenAny(_draining, Task.Delay(timeout)) : Task.CompletedTask;

    /// <summary>The connection has ended.</summary>
    public void StopWaiting() => _input.StopWaiting();

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
                end = await SendAllAsync(read.Buffer).ConfigureAwait(false);
                reader.AdvanceTo(read.Buffer.End);
            }
            if (end.IsOk) end = _connection.CompleteSend();
            reader.Complete(SharedMemoryPipeInput.ToException(end));
        }
        catch (Exception e)
        {
            // The writer was completed with an error: what it wrote last is not to look like an orderly end.
            _connection.Abort();
            reader.Complete(e);
        }
    }

    private async ValueTask<TransportResult> SendAllAsync(ReadOnlySequence<byte> bytes)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
            if (await _connection.SendAsync(segment, CancellationToken.None).ConfigureAwait(false) is { IsOk: false } end)
                return end;
        return TransportResult.Ok;
    }
}
