using System.Text.Json;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>A refusal as clients get it: the fields that the Cerebras and OpenAI clients read, and what to do about it.</summary>
internal sealed record ApiError(int Status, string Message, string Type, string? Param, string Code)
{
    /// <summary>When to try again; null: nothing is said.</summary>
    internal TimeSpan? RetryAfter { get; init; }

    /// <summary>False where a retry cannot help: clients that know <c>x-should-retry</c> fail at once.</summary>
    internal bool? ShouldRetry { get; init; }

    // The longest wait that the clients honour; beyond it they would retry at their own, useless pace.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    internal static ApiError BadJson(string detail) => new(400, $"The body is not valid JSON: {detail}", "invalid_request_error", "body", "wrong_api_format");

    internal static ApiError Unsupported(string field, string detail) => new(400, $"{field} is not supported: {detail}", "invalid_request_error", field, "unsupported_parameter");

    internal static ApiError Wrong(string field, string found, string allowed) => new(422, $"{field}: {found} is not allowed; allowed: {allowed}.", "invalid_request_error", field, "wrong_api_format");

    internal static ApiError Missing(string field, string allowed) => new(400, $"{field} is missing; allowed: {allowed}.", "invalid_request_error", field, "wrong_api_format");

    internal static ApiError TooLarge(string detail) => new(413, detail, "invalid_request_error", "body", "request_too_large");

    internal static ApiError WrongKey { get; } = new(401, "Wrong API Key", "invalid_request_error", "api_key", "wrong_api_key");

    internal static ApiError UnknownPath(string path) => new(404, $"There is no {path} here; see docs/gateway.md.", "not_found_error", "path", "not_found");

    internal static ApiError UnknownModel(string model, IEnumerable<string> known) =>
        new(404, $"Model {model} does not exist or you do not have access to it. Served here: {string.Join(", ", known)}.", "not_found_error", "model", "model_not_found");

    internal static ApiError ContextExceeded(string field, long tokens, long limit) =>
        new(400, $"Please reduce the length of the messages or completion. Current length is {tokens} while limit is {limit}", "invalid_request_error", field, "context_length_exceeded");

    internal static ApiError QueueExceeded { get; } =
        new(429, "We're experiencing high traffic right now! Please try again soon.", "too_many_requests_error", "queue", "queue_exceeded") { RetryAfter = TimeSpan.FromSeconds(1) };

    internal static ApiError LimitExceeded(LimitRefusal refusal)
    {
        string message = refusal.IsTokens ? $"Tokens per {refusal.Period} limit exceeded - too many tokens processed." : $"Requests per {refusal.Period} limit exceeded - too many requests sent.";
        bool worthWaiting = refusal.RetryAfter <= LongestWait;
        return new ApiError(429, message, "too_many_requests_error", "quota", refusal.IsTokens ? "token_quota_exceeded" : "request_quota_exceeded")
        {
            RetryAfter = refusal.RetryAfter == TimeSpan.MaxValue ? null : refusal.RetryAfter,
            ShouldRetry = worthWaiting ? null : false,
        };
    }

    internal static ApiError Internal { get; } = new(500, "The gateway failed; its log says why.", "server_error", null, "internal_error");

    internal static ApiError Of(RequestFailedException failure, int contextTokens) => failure.Failure switch
    {
        RequestFailure.Busy => QueueExceeded,
        RequestFailure.TooLong => new ApiError(400, $"Please reduce the length of the messages or completion. {failure.Message} (context {contextTokens})", "invalid_request_error", "messages", "context_length_exceeded"),
        RequestFailure.Invalid => new ApiError(422, failure.Message, "invalid_request_error", null, "wrong_api_format"),
        RequestFailure.NoWorker => new ApiError(503, failure.Message, "server_error", null, "no_worker_available") { RetryAfter = TimeSpan.FromSeconds(1) },
        RequestFailure.Lost => new ApiError(503, failure.Message, "server_error", null, "worker_lost"),
        RequestFailure.Deadline => new ApiError(503, failure.Message, "server_error", null, "deadline_exceeded") { ShouldRetry = false },
        _ => new ApiError(500, failure.Message, "server_error", null, "internal_error"),
    };

    /// <summary>
    /// The body. 429 is flat, as documented; the others have the same fields at the top and once more in <c>error</c>, where the OpenAI clients
    /// look for the message.
    /// </summary>
    internal byte[] Body()
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, ApiJson.WriterOptions))
        {
            json.WriteStartObject();
            WriteFields(json);
            if (Status != 429)
            {
                json.WriteStartObject("error");
                WriteFields(json);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The form inside a stream.</summary>
    internal void WriteInStream(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        WriteFields(json);
        json.WriteEndObject();
        json.WriteNumber("status_code", Status);
        json.WriteEndObject();
    }

    private void WriteFields(Utf8JsonWriter json)
    {
        json.WriteString("message", Message);
        json.WriteString("type", Type);
        json.WriteString("param", Param);
        json.WriteString("code", Code);
    }
}

/// <summary>Ends a request with a refusal.</summary>
internal sealed class ApiException(ApiError error) : Exception(error.Message)
{
    internal ApiError Error => error;
}
