using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KvHandoff.Gateway.Chat;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary><c>/v1/chat/completions</c> and <c>/v1/completions</c>: one request from its body to its last byte.</summary>
internal sealed class CompletionEndpoint(GatewayServices services, bool isChat)
{
    internal const string RouteHeader = "x-kvhandoff-route";

    internal async Task HandleAsync(HttpContext context)
    {
        CancellationToken left = context.RequestAborted;
        CompletionCall call = await ReadAsync(context.Request, left);
        RouteMode mode = ModeOf(context.Request);
        int maxTokens = CheckAgainstModel(call, services.Models.ContextTokens);
        KeyAccount key = RequestTrail.Of(context).Key!;
        if (key.TryCharge(call.Prompt.Length + maxTokens, out LimitCharge charge) is { } refusal) throw new ApiException(ApiError.LimitExceeded(refusal));
        var account = new RequestAccount(call.Prompt.Length);
        RequestTrail.Of(context).Account = account;
        long used = 0;
        try
        {
            if (!await services.Queue.EnterAsync(left)) throw new ApiException(ApiError.QueueExceeded);
            try
            {
                account.LeaveGatewayQueue();
                var request = new GatewayRequest { RequestId = RequestTrail.Of(context).RequestId, Prompt = call.Prompt, MaxTokens = maxTokens, Stop = call.Stop, Sampling = call.Sampling, Mode = mode };
                string id = (isChat ? "chatcmpl-" : "cmpl-") + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12));
                var format = new AnswerFormat(isChat, id, call.Model, services.Models.Fingerprint, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
                if (call.Stream) await StreamAsync(context, call, request, account, format);
                else await AnswerAsync(context, request, account, format);
            }
            finally
            {
                services.Queue.Leave();
                // What the client has of a text that was not finished is counted too.
                if (account.Started is not null) used = account.PromptTokens + (account.Finished?.CompletionTokens ?? RequestTrail.Of(context).TokensSent);
            }
        }
        finally
        {
            key.Settle(charge, used);
        }
    }

    private async Task<CompletionCall> ReadAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        try
        {
            using JsonDocument body = await JsonDocument.ParseAsync(request.Body, ApiJson.ReaderOptions, cancellationToken);
            return CallParser.Parse(body.RootElement, isChat);
        }
        catch (JsonException e)
        {
            throw new ApiException(ApiError.BadJson(e.Message));
        }
        catch (InvalidOperationException)
        {
            // The reader finds this only when a string is taken out.
            throw new ApiException(ApiError.BadJson("a string is no valid text: a broken UTF-8 sequence, or half of a surrogate pair."));
        }
    }

    private static RouteMode ModeOf(HttpRequest request) => request.Headers[RouteHeader].ToString() switch
    {
        "" => RouteMode.Automatic,
        "disaggregated" => RouteMode.Disaggregated,
        "monolithic" => RouteMode.Monolithic,
        _ => throw new ApiException(ApiError.Wrong(RouteHeader, "another word", "disaggregated, monolithic")),
    };

    private int CheckAgainstModel(CompletionCall call, int contextTokens)
    {
        IReadOnlyList<string> names = services.Models.Names;
        if (names.Count == 0) throw new RequestFailedException(RequestFailure.NoWorker, "No worker has said yet which model it serves; see /health.");
        if (!names.Contains(call.Model)) throw new ApiException(ApiError.UnknownModel(call.Model, names));
        // Without a worker that generates nothing is known of the context; the dispatcher says what is missing.
        if (contextTokens == 0) return call.MaxTokens ?? services.Options.DefaultMaxTokens;
        int room = contextTokens - call.Prompt.Length;
        if (room < 1) throw new ApiException(ApiError.ContextExceeded(call.PromptField, call.Prompt.Length + (call.MaxTokens ?? 1), contextTokens));
        if (call.MaxTokens > room) throw new ApiException(ApiError.ContextExceeded(call.PromptField, (long)call.Prompt.Length + call.MaxTokens.Value, contextTokens));
        return call.MaxTokens ?? Math.Min(services.Options.DefaultMaxTokens, room);
    }

    private async Task AnswerAsync(HttpContext context, GatewayRequest request, RequestAccount account, AnswerFormat format)
    {
        var text = new TokenText();
        var answer = new StringBuilder();
        RequestTrail trail = RequestTrail.Of(context);
        await foreach (DecodeEvent said in services.Dispatcher.RunAsync(request, account, context.RequestAborted))
        {
            if (said is not DecodeTokens tokens) continue;
            answer.Append(text.Append(tokens.Tokens));
            trail.TokensSent += tokens.Tokens.Length;
        }

        answer.Append(text.Finish());
        TimeInfo time = account.Time(format.Created);
        if (trail.IsCounted) services.Metrics.CountCompleted(account, time);
        var body = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(body, ApiJson.WriterOptions)) format.WriteWhole(json, answer.ToString(), account.Finished!.Reason, account, time);
        context.Response.ContentType = ApiJson.ContentType;
        context.Response.ContentLength = body.WrittenCount;
        WriteHeaders(context.Response, account);
        await context.Response.BodyWriter.WriteAsync(body.WrittenMemory, context.RequestAborted);
    }

    private async Task StreamAsync(HttpContext context, CompletionCall call, GatewayRequest request, RequestAccount account, AnswerFormat format)
    {
        CancellationToken left = context.RequestAborted;
        using var events = new EventStream(context.Response);
        var text = new TokenText();
        RequestTrail trail = RequestTrail.Of(context);
        try
        {
            await foreach (DecodeEvent said in services.Dispatcher.RunAsync(request, account, left))
            {
                switch (said)
                {
                    case DecodeStarted:
                        // The status is decided here: what fails before is answered with its own.
                        events.Begin();
                        WriteHeaders(context.Response, account);
                        if (isChat) await events.SendAsync(format, static (json, f) => f.WriteRole(json), left);
                        else await events.FlushAsync(left);
                        break;
                    case DecodeTokens tokens:
                        // The first token goes alone, so that even a text that came in one piece is seen to begin and to end.
                        int first = trail.TokensSent == 0 ? 1 : tokens.Tokens.Length;
                        await SendTextAsync(text.Append(tokens.Tokens.AsSpan(0, first)));
                        if (first < tokens.Tokens.Length) await SendTextAsync(text.Append(tokens.Tokens.AsSpan(first)));
                        trail.TokensSent += tokens.Tokens.Length;
                        break;
                }
            }

            await SendTextAsync(text.Finish());
            await events.SendAsync((format, account.Finished!.Reason), static (json, s) => s.format.WriteFinish(json, s.Reason), left);
            TimeInfo time = account.Time(format.Created);
            if (trail.IsCounted) services.Metrics.CountCompleted(account, time);
            if (call.IncludeUsage ?? services.Options.AlwaysSendUsage) await events.SendAsync((format, account, time), static (json, s) => s.format.WriteUsage(json, s.account, s.time), left);
            await events.SendDoneAsync(left);
        }
        catch (Exception e) when (context.Response.HasStarted && !left.IsCancellationRequested)
        {
            ApiError error = ErrorReplies.Of(e, services.Models.ContextTokens, trail);
            trail.StreamError = error;
            await events.SendAsync(error, static (json, f) => f.WriteInStream(json), left);
        }

        Task SendTextAsync(string piece) => piece.Length == 0 ? Task.CompletedTask : events.SendAsync((format, piece), static (json, s) => s.format.WriteText(json, s.piece), left);
    }

    private static void WriteHeaders(HttpResponse response, RequestAccount account)
    {
        response.Headers[RouteHeader] = account.Route;
        response.Headers["x-kvhandoff-decode-worker"] = account.DecodeWorker;
        response.Headers["x-kvhandoff-attempts"] = account.Attempts.ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (account.PrefillWorker.Length == 0) return;
        response.Headers["x-kvhandoff-prefill-worker"] = account.PrefillWorker;
        response.Headers["x-kvhandoff-handoff-id"] = account.HandoffId.ToString();
    }
}
