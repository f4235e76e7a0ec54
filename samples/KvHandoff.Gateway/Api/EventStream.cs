using System.Buffers;
using System.Text.Json;

namespace KvHandoff.Gateway.Api;

/// <summary>Server-sent events of one reply: every event is on its way before the next is made.</summary>
internal sealed class EventStream(HttpResponse response) : IDisposable
{
    private readonly ArrayBufferWriter<byte> _buffer = new(512);
    private readonly Utf8JsonWriter _json = new(Stream.Null, ApiJson.WriterOptions);

    /// <summary>Decides the status and the headers.</summary>
    internal void Begin()
    {
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = "text/event-stream; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
        // Proxies that gather replies are asked not to.
        response.Headers["x-accel-buffering"] = "no";
    }

    /// <summary>Sends the headers before there is an event.</summary>
    internal async Task FlushAsync(CancellationToken cancellationToken) => await response.BodyWriter.FlushAsync(cancellationToken);

    /// <summary>Writes one event and flushes it.</summary>
    internal async Task SendAsync<TState>(TState state, Action<Utf8JsonWriter, TState> write, CancellationToken cancellationToken)
    {
        _buffer.ResetWrittenCount();
        _buffer.Write("data: "u8);
        _json.Reset(_buffer);
        write(_json, state);
        _json.Flush();
        _buffer.Write("\n\n"u8);
        await response.BodyWriter.WriteAsync(_buffer.WrittenMemory, cancellationToken);
    }

    /// <summary>Ends a complete stream.</summary>
    internal async Task SendDoneAsync(CancellationToken cancellationToken) => await response.BodyWriter.WriteAsync("data: [DONE]\n\n"u8.ToArray(), cancellationToken);

    public void Dispose() => _json.Dispose();
}
