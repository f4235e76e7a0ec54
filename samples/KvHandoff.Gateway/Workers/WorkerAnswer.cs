using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>Lines of an answer as they come. A worker that says nothing for too long, not even an empty line, counts as lost.</summary>
internal sealed class WorkerAnswer(string worker, TimeSpan mostSilence, HttpResponseMessage response, Stream body) : IAsyncDisposable
{
    private static readonly TimeSpan EndLimit = TimeSpan.FromMilliseconds(200);

    private readonly PipeReader _reader = PipeReader.Create(body);

    /// <summary>The next line that is not empty; null at the end.</summary>
    /// <exception cref="WorkerException">The worker is lost, or the line is not what was expected.</exception>
    public async ValueTask<T?> ReadAsync<T>(CancellationToken cancellationToken) where T : class
    {
        CancellationTokenSource? silence = null;
        try
        {
            while (true)
            {
                if (!_reader.TryRead(out ReadResult result))
                {
                    silence ??= CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                    silence.CancelAfter(mostSilence);
                    result = await _reader.ReadAsync(silence.Token);
                }

                if (TryTake(result.Buffer, result.IsCompleted, out T? value)) return value;
                if (result.IsCompleted) return null;
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw Gone($"it was silent for {mostSilence.TotalSeconds:0.#} s.");
        }
        catch (Exception e) when (e is IOException or HttpRequestException or System.Net.Sockets.SocketException)
        {
            throw Gone($"the connection broke: {e.Message}", e);
        }
        catch (JsonException e)
        {
            throw new WorkerException(WorkerFailure.Internal, worker, $"it sent a line that cannot be read: {e.Message}", e);
        }
        finally
        {
            silence?.Dispose();
        }
    }

    /// <summary>Reads the end after the last line, so that the connection can be used again; one that has more to say is closed.</summary>
    public async ValueTask EndAsync()
    {
        using var limit = new CancellationTokenSource(EndLimit);
        try
        {
            ReadResult result = await _reader.ReadAsync(limit.Token);
            if (!result.IsCompleted) _reader.AdvanceTo(result.Buffer.Start);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or HttpRequestException)
        {
            // All that matters was read.
        }
    }

    /// <summary>The worker is lost.</summary>
    public WorkerException Gone(string text, Exception? inner = null) => new(WorkerFailure.Lost, worker, text, inner);

    /// <summary>Closes the connection if the answer is not at its end.</summary>
    public async ValueTask DisposeAsync()
    {
        await _reader.CompleteAsync();
        response.Dispose();
    }

    private bool TryTake<T>(ReadOnlySequence<byte> buffer, bool isLast, out T? value) where T : class
    {
        value = null;
        while (true)
        {
            SequencePosition? end = buffer.PositionOf((byte)'\n');
            if (end is null && !(isLast && buffer.Length > 0)) break;
            ReadOnlySequence<byte> line = end is { } at ? buffer.Slice(0, at) : buffer;
            buffer = end is { } newLine ? buffer.Slice(buffer.GetPosition(1, newLine)) : buffer.Slice(buffer.End);
            if (line.IsEmpty) continue;
            var json = new Utf8JsonReader(line);
            value = JsonSerializer.Deserialize<T>(ref json, WorkerWire.Json);
            _reader.AdvanceTo(buffer.Start);
            return true;
        }

        if (buffer.Length > WorkerWire.MaxLineBytes)
            throw new WorkerException(WorkerFailure.Internal, worker, $"it sent a line of more than {buffer.Length} bytes; allowed: {WorkerWire.MaxLineBytes}.");
        _reader.AdvanceTo(buffer.Start, buffer.End);
        return false;
    }
}
