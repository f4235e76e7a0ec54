using System.Globalization;
using System.Text;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>What a scripted server answers: status, headers, and a body in steps, each of its own packet.</summary>
internal sealed class Reply
{
    internal readonly record struct Step(byte[] Bytes, int PauseMilliseconds, bool IsCut);

    private readonly List<Step> _steps = [];

    private Reply(int status, string contentType) => (Status, ContentType) = (status, contentType);

    internal int Status { get; }

    internal string ContentType { get; }

    internal bool IsDropped { get; private init; }

    internal List<(string Name, string Value)> Headers { get; } = [];

    internal IReadOnlyList<Step> Steps => _steps;

    internal static Reply Events() => new(200, "text/event-stream");

    internal static Reply Json(int status, string body) => new Reply(status, "application/json").Raw(body);

    /// <summary>The connection is closed without a reply.</summary>
    internal static Reply Dropped() => new(0, "") { IsDropped = true };

    internal static Reply TooMany(string message = "Requests per minute limit exceeded - too many requests sent.", string code = "request_quota_exceeded") =>
        Json(429, $$"""{"message":"{{message}}","type":"too_many_requests_error","param":"quota","code":"{{code}}"}""");

    /// <summary>A usual answer: role, so many tokens one per chunk, finish, usage with time_info, [DONE].</summary>
    internal static Reply Tokens(int tokens, int pauseMilliseconds = 0, string text = "tok ", string timeInfo = """{"queue_time":0.001,"prompt_time":0.002,"completion_time":0.02,"total_time":0.025}""", int promptTokens = 20)
    {
        Reply reply = Events().Role();
        for (int i = 0; i < tokens; i++) reply.Pause(pauseMilliseconds).Content(text);
        return reply.Finish().Usage(promptTokens, tokens, timeInfo).Done();
    }

    internal Reply Header(string name, string value)
    {
        Headers.Add((name, value));
        return this;
    }

    internal Reply Raw(string text) => Raw(Encoding.UTF8.GetBytes(text));

    internal Reply Raw(byte[] bytes)
    {
        _steps.Add(new Step(bytes, 0, false));
        return this;
    }

    internal Reply Pause(int milliseconds)
    {
        if (milliseconds > 0) _steps.Add(new Step([], milliseconds, false));
        return this;
    }

    internal Reply Cut()
    {
        _steps.Add(new Step([], 0, true));
        return this;
    }

    internal Reply Data(string json) => Raw($"data: {json}\n\n");

    internal Reply Role() => Data("""{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"scripted-model","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"role":"assistant"}}]}""");

    internal Reply Content(string text) => Data("""{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":""" + System.Text.Json.JsonSerializer.Serialize(text) + "}}]}");

    internal Reply Reasoning(string text) => Data("""{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"reasoning":""" + System.Text.Json.JsonSerializer.Serialize(text) + "}}]}");

    internal Reply Finish(string reason = "stop") => Data($$"""{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"{{reason}}"}]}""");

    internal Reply Usage(int prompt, int completion, string? timeInfo = null) =>
        Data(string.Create(CultureInfo.InvariantCulture, $$$"""{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":{{{prompt}}},"completion_tokens":{{{completion}}},"total_tokens":{{{prompt + completion}}}}""") + (timeInfo is null ? "}" : ",\"time_info\":" + timeInfo + "}"));

    internal Reply Done() => Raw("data: [DONE]\n\n");
}
