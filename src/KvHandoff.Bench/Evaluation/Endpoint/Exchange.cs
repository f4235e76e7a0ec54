using System.Buffers;
using System.IO.Pipelines;
using System.Net.Http.Headers;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>One attempt: what came and when. Never throws but for the run's cancellation.</summary>
internal sealed class Exchange : IDisposable
{
    internal const int MostBodyBytes = 64 << 20, MostErrorBytes = 64 << 10;
    private const string RouteHeaderPrefix = "x-kvhandoff-";
    private const int MostWorkers = 8, MostHeaderText = 200;

    private Exchange()
    {
    }

    internal long StartedTicks { get; private set; }

    internal long? HeadersTicks { get; private set; }

    internal long EndedTicks { get; private set; }

    internal int? Status { get; private set; }

    internal RequestError? Error { get; private set; }

    /// <summary>The reply began: its tokens may have been counted, so it is not asked for again.</summary>
    internal bool HasBegun { get; private set; }

    internal ReplyObservation Reply { get; } = new();

    internal IReadOnlyDictionary<string, string> Headers { get; private set; } = new Dictionary<string, string>();

    internal IReadOnlyDictionary<string, double> RateLimits { get; private set; } = new Dictionary<string, double>();

    internal IReadOnlyDictionary<string, string> Workers { get; private set; } = new Dictionary<string, string>();

    internal static async Task<Exchange> RunAsync(EndpointConnection connection, ChatRequest request, bool stream, string requestId, IReadOnlyList<KeyValuePair<string, string>> headers, TimeSpan limit, SseLimits limits, CancellationToken cancellationToken)
    {
        var exchange = new Exchange();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(limit);
        exchange.StartedTicks = RunClock.Ticks;
        try
        {
            using HttpResponseMessage response = await connection.PostAsync(request.Body, requestId, headers, stream, deadline.Token);
            exchange.HeadersTicks = RunClock.Ticks;
            exchange.TakeHeaders(response);
            if (!response.IsSuccessStatusCode) exchange.Error = ErrorBody.Describe(await ReadErrorAsync(response, deadline.Token), (int)response.StatusCode);
            else if (response.Content.Headers.ContentType?.MediaType == "text/event-stream") await exchange.ReadEventsAsync(response, limits, deadline.Token);
            else await exchange.ReadBodyAsync(response, deadline.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            exchange.Error = Failure("timeout", $"No complete reply within {limit.TotalSeconds:0.###} s; {exchange.Reply.ContentTicks.Count} chunks with content had come.");
        }
        catch (OperationCanceledException)
        {
            exchange.Error = Failure("cancelled", "The run was interrupted.");
        }
        catch (Exception e) when (e is HttpRequestException or IOException or InvalidDataException)
        {
            exchange.Error = exchange.Describe(e);
        }

        if (exchange.EndedTicks == 0) exchange.EndedTicks = RunClock.Ticks;
        if (exchange.Error is { } error) exchange.Error = error with { Label = connection.Hide(error.Label), Message = connection.Hide(error.Message), Code = error.Code is { } code ? connection.Hide(code) : null, Type = error.Type is { } type ? connection.Hide(type) : null };
        return exchange;
    }

    public void Dispose() => Reply.Dispose();

    private void TakeHeaders(HttpResponseMessage response)
    {
        Status = (int)response.StatusCode;
        RateLimits = RateLimitHeaders.Read(response.Headers);
        var deciding = new Dictionary<string, string>(StringComparer.Ordinal);
        var workers = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string header, HeaderStringValues values) in response.Headers.NonValidated)
        {
            string name = header.ToLowerInvariant(), value = values.ToString();
            if (value.Length > MostHeaderText) continue;
            if (name is "retry-after" or "retry-after-ms" or "x-should-retry") deciding[name] = value.Trim();
            else if (name.StartsWith(RouteHeaderPrefix, StringComparison.Ordinal) && workers.Count < MostWorkers) workers[name[RouteHeaderPrefix.Length..]] = value;
        }

        (Headers, Workers) = (deciding, workers);
    }

    private async Task ReadEventsAsync(HttpResponseMessage response, SseLimits limits, CancellationToken cancellationToken)
    {
        HasBegun = true;
        var parser = new SseParser(limits);
        long ticks = 0;
        void Take(string name, ReadOnlySpan<byte> data) => ReplyReader.TakeEvent(Reply, name, data, ticks);
        PipeReader reader = PipeReader.Create(await response.Content.ReadAsStreamAsync(cancellationToken), new StreamPipeReaderOptions(bufferSize: 16 << 10));
        try
        {
            while (true)
            {
                ReadResult read = await reader.ReadAsync(cancellationToken);
                // Before anything is looked at: the stamp is the arrival, not the end of parsing.
                ticks = RunClock.Ticks;
                if (!read.Buffer.IsEmpty) Reply.FirstByteTicks ??= ticks;
                foreach (ReadOnlyMemory<byte> part in read.Buffer)
                {
                    if (!parser.TryFeed(part.Span, Take)) break;
                }

                reader.AdvanceTo(read.Buffer.End);
                if (parser.Failure is not null || Reply.Error is not null || Reply.IsDone || read.IsCompleted) break;
            }

            if (!Reply.IsDone) parser.Finish(Take, static data => data.StartsWith("[DONE]"u8));
            EndedTicks = ticks;
            Error = parser.Failure is { } failure ? Failure("stream too large", failure) : Reply.Error ?? Incomplete(parser);
            if (Error is null) await DrainAsync(reader, cancellationToken);
        }
        finally
        {
            await reader.CompleteAsync();
        }
    }

    // The chunk that ends the reply has to be read, or the connection cannot be used again.
    private static async Task DrainAsync(PipeReader reader, CancellationToken cancellationToken)
    {
        const int MostReads = 16;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(1));
        try
        {
            for (int i = 0; i < MostReads; i++)
            {
                ReadResult read = await reader.ReadAsync(limit.Token);
                reader.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted) return;
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or HttpRequestException)
        {
            // The answer is complete; the connection is given up.
        }
    }

    private async Task ReadBodyAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        HasBegun = true;
        PipeReader reader = PipeReader.Create(await response.Content.ReadAsStreamAsync(cancellationToken));
        try
        {
            while (true)
            {
                ReadResult read = await reader.ReadAsync(cancellationToken);
                EndedTicks = RunClock.Ticks;
                if (!read.Buffer.IsEmpty) Reply.FirstByteTicks ??= EndedTicks;
                if (read.Buffer.Length > MostBodyBytes) throw new InvalidDataException($"The body is longer than {MostBodyBytes} bytes.");
                if (read.IsCompleted)
                {
                    ReplyReader.TakeBody(Reply, read.Buffer.ToArray());
                    break;
                }

                reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            }
        }
        finally
        {
            await reader.CompleteAsync();
        }

        Error = Reply.Error;
    }

    private static async Task<byte[]> ReadErrorAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            return await EndpointConnection.ReadAsync(response, MostErrorBytes, cancellationToken);
        }
        catch (Exception e) when (e is IOException or HttpRequestException or InvalidDataException)
        {
            return [];
        }
    }

    // Some servers end without [DONE]: a finish reason makes the answer whole all the same.
    private RequestError? Incomplete(SseParser parser)
    {
        if (Reply.IsDone && Reply.Chunks > 0) return null;
        if (Reply.Chunks == 0) return Failure("empty stream", $"The stream ended without an event{(parser.HasPartialEvent ? ", in the middle of one" : "")}.");
        return Reply.FinishReason is null || parser.HasPartialEvent ? Failure("cut stream", $"The stream ended after {Reply.Chunks} events without [DONE] and without a finish reason or in the middle of an event.") : null;
    }

    private RequestError Describe(Exception e)
    {
        string message = e.InnerException is { } inner && !e.Message.Contains(inner.Message, StringComparison.Ordinal) ? $"{e.Message} {inner.Message}" : e.Message;
        if (HasBegun) return Failure(e is InvalidDataException ? "stream too large" : "cut stream", $"{message} {Reply.Chunks} events had come.");
        return Failure(e is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError } ? "connect" : "no reply", message);
    }

    private static RequestError Failure(string label, string message) => new() { Label = label, Message = message };
}
