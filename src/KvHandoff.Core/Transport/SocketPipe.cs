using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>A control connection: one loop fills the input pipe from the socket, one drains the output pipe to it.</summary>
internal sealed class SocketPipe : IDuplexPipe
{
    private const int PauseBytes = 64 << 10, ResumeBytes = 32 << 10, ReceiveBytes = 4 << 10;

    private static readonly PipeOptions Bounded = new(
        pauseWriterThreshold: PauseBytes, resumeWriterThreshold: ResumeBytes, useSynchronizationContext: false);

    private readonly SocketConnection _connection;
    private readonly Pipe _input = new(Bounded), _output = new(Bounded);
    private readonly EndingReader _reader;
    private readonly EndingWriter _writer;
    private readonly Task _draining;

    public SocketPipe(SocketConnection connection)
    {
        _connection = connection;
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
            (int count, SocketError error) = await _connection.ReceiveSomeAsync(free, _reader.Completed).ConfigureAwait(false);
            if (count <= 0)
            {
                end = _connection.ReceiveEnded(error);
                break;
            }
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
                end = await SendAllAsync(read.Buffer).ConfigureAwait(false);
                reader.AdvanceTo(read.Buffer.End);
            }
            if (end.IsOk) end = _connection.CompleteSend();
            reader.Complete(ToException(end));
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
        {
            for (int done = 0; done < segment.Length;)
            {
                (int count, SocketError error) = await _connection.SendSomeAsync(segment[done..], CancellationToken.None).ConfigureAwait(false);
                if (count < 0) return _connection.SendFailed(error, done, segment.Length);
                done += count;
            }
        }
        return TransportResult.Ok;
    }

    private static TransportException? ToException(TransportResult end) =>
        end.Status is TransportStatus.Ok or TransportStatus.Closed ? null : new TransportException(end.Status, end.Message!);
}
