using System.Net;
using System.Text;
using System.Text.Json;
using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Hosting;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Tests.Routing;

namespace KvHandoff.Gateway.Tests.Api;

public sealed class ErrorTests
{
    private const string Chat = "/v1/chat/completions", Text = "/v1/completions", Good = """{"model":"scripted","prompt":"abc"}""";

    private readonly ScriptedWorker _prefill = new("prefill-0", Phase.Prefill), _decode = new("decode-0", Phase.Decode);

    [Theory]
    [InlineData(Chat, "{", 400, "wrong_api_format", "body")]
    [InlineData(Chat, "", 400, "wrong_api_format", "body")]
    [InlineData(Chat, "[]", 400, "wrong_api_format", "body")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":"\ud800"}]}""", 400, "wrong_api_format", "body")]
    [InlineData(Chat, """{"messages":[]}""", 400, "wrong_api_format", "model")]
    [InlineData(Chat, """{"model":"scripted"}""", 400, "wrong_api_format", "messages")]
    [InlineData(Chat, """{"model":"scripted","messages":[]}""", 422, "wrong_api_format", "messages")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"robot","content":"a"}]}""", 422, "wrong_api_format", "messages[0].role")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user"}]}""", 400, "wrong_api_format", "messages[0].content")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":""}]}""", 422, "wrong_api_format", "messages")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":[{"type":"image_url"}]}]}""", 400, "unsupported_parameter", "messages[0].content")]
    [InlineData(Chat, """{"model":"nobody","messages":[{"role":"user","content":"a"}]}""", 404, "model_not_found", "model")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","temperature":"hot"}""", 422, "wrong_api_format", "temperature")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","temperature":2.5}""", 422, "wrong_api_format", "temperature")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","top_p":0}""", 422, "wrong_api_format", "top_p")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","max_tokens":0}""", 422, "wrong_api_format", "max_tokens")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","seed":1.5}""", 422, "wrong_api_format", "seed")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","stop":["1","2","3","4","5"]}""", 422, "wrong_api_format", "stop")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","stop":""}""", 422, "wrong_api_format", "stop")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","stream":"yes"}""", 422, "wrong_api_format", "stream")]
    [InlineData(Text, """{"model":"scripted","prompt":[1,256]}""", 422, "wrong_api_format", "prompt[1]")]
    [InlineData(Text, """{"model":"scripted","prompt":["a","b"]}""", 400, "unsupported_parameter", "prompt")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","n":2}""", 400, "unsupported_parameter", "n")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","echo":true}""", 400, "unsupported_parameter", "echo")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","logprobs":3}""", 400, "unsupported_parameter", "logprobs")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}""", 400, "unsupported_parameter", "tools")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}""", 400, "unsupported_parameter", "response_format")]
    [InlineData(Text, """{"model":"scripted","prompt":"a","max_tokens":4096}""", 400, "context_length_exceeded", "prompt")]
    [InlineData(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}],"max_completion_tokens":5000}""", 400, "context_length_exceeded", "messages")]
    public async Task Bad_requests_are_refused_by_name_and_reach_no_worker(string path, string json, int status, string code, string param)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(path, json);
        Assert.Equal((status, code, param), ((int)response.StatusCode, body.GetProperty("code").GetString(), body.GetProperty("param").GetString()));
        Assert.NotEqual("", body.GetProperty("message").GetString());
        // The OpenAI clients look into "error".
        Assert.Equal(code, body.GetProperty("error").GetProperty("code").GetString());
        Assert.True(response.Headers.Contains("x-ratelimit-remaining-tokens-minute"));
        Assert.Empty(_prefill.Prefills);
        Assert.Empty(_decode.Decodes);
    }

    [Fact]
    public async Task A_prompt_that_fills_the_context_is_too_long()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, $$"""{"model":"scripted","prompt":"{{new string('a', 4096)}}"}""");
        Assert.Equal((HttpStatusCode.BadRequest, "context_length_exceeded"), (response.StatusCode, body.GetProperty("code").GetString()));
        Assert.Equal("Please reduce the length of the messages or completion. Current length is 4097 while limit is 4096", body.GetProperty("message").GetString());
    }

    [Fact]
    public async Task A_body_larger_than_allowed_is_413()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings { Api = new ApiOptions { MaxBodyBytes = 1000 } }, [], _prefill, _decode);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, $$"""{"model":"scripted","prompt":"{{new string('a', 2000)}}"}""");
        Assert.Equal((413, "request_too_large"), ((int)response.StatusCode, body.GetProperty("code").GetString()));
    }

    [Fact]
    public async Task Without_a_valid_key_nothing_is_told_but_health_and_warming()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings(), ["the-right-key"], _prefill, _decode);
        foreach (string? key in (string?[])[null, "the-wrong-key"])
        {
            (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, Good, key);
            Assert.Equal((401, "wrong_api_key"), ((int)response.StatusCode, body.GetProperty("code").GetString()));
        }

        Assert.Equal(HttpStatusCode.Unauthorized, (await gateway.Http.GetAsync("/v1/models")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await gateway.AskAsync(Text, Good, "the-right-key")).Response.StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await gateway.Http.GetAsync("/health")).StatusCode);
        using HttpResponseMessage warming = await gateway.Http.GetAsync("/v1/tcp_warming");
        Assert.Equal(("text/plain", HttpStatusCode.OK), (warming.Content.Headers.ContentType!.MediaType, warming.StatusCode));
    }

    [Fact]
    public async Task Limits_are_each_keys_own_and_a_refusal_is_flat_as_documented()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings { Limits = new RateLimits { RequestsPerMinute = 2 } }, ["the-first-key", "the-second-key"], _prefill, _decode);
        for (int i = 0; i < 2; i++) Assert.Equal(HttpStatusCode.OK, (await gateway.AskAsync(Text, Good, "the-first-key")).Response.StatusCode);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, Good, "the-first-key");
        Assert.Equal(429, (int)response.StatusCode);
        Assert.Equal("""{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}""", body.GetRawText());
        Assert.InRange(double.Parse(response.Headers.GetValues("retry-after").Single(), System.Globalization.CultureInfo.InvariantCulture), 0.001, 30);
        Assert.Equal("0", response.Headers.GetValues("x-ratelimit-remaining-requests-minute").Single());
        Assert.Equal(HttpStatusCode.OK, (await gateway.AskAsync(Text, Good, "the-second-key")).Response.StatusCode);
    }

    [Fact]
    public async Task Tokens_are_charged_with_the_longest_answer_and_given_back()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings { Limits = new RateLimits { TokensPerDay = 1000 } }, [], _prefill, _decode);
        (HttpResponseMessage refused, JsonElement body) = await gateway.AskAsync(Text, """{"model":"scripted","prompt":"abc","max_tokens":998}""");
        Assert.Equal((429, "token_quota_exceeded"), ((int)refused.StatusCode, body.GetProperty("code").GetString()));
        Assert.Equal("Tokens per day limit exceeded - too many tokens processed.", body.GetProperty("message").GetString());
        Assert.Equal("false", refused.Headers.GetValues("x-should-retry").Single());
        (HttpResponseMessage served, _) = await gateway.AskAsync(Text, """{"model":"scripted","prompt":"abc","max_tokens":997}""");
        Assert.Equal(HttpStatusCode.OK, served.StatusCode);
        using HttpResponseMessage after = await gateway.Http.GetAsync("/v1/models");
        Assert.InRange(int.Parse(after.Headers.GetValues("x-ratelimit-remaining-tokens-day").Single(), System.Globalization.CultureInfo.InvariantCulture), 1000 - 3 - ScriptedWorker.Answer.Length, 1000 - 3 - ScriptedWorker.Answer.Length + 2);
    }

    [Fact]
    public async Task A_full_queue_is_429_and_so_are_full_workers()
    {
        var hold = new TaskCompletionSource();
        _decode.OnDecode = (_, _) => HeldAsync(hold.Task);
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings { MaxRunning = 1, MaxQueue = 0 }, [], _prefill, _decode);
        Task<(HttpResponseMessage Response, JsonElement Body)> first = gateway.AskAsync(Text, Good);
        while (_decode.Open == 0) await Task.Delay(5);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, Good);
        Assert.Equal(429, (int)response.StatusCode);
        Assert.Equal("""{"message":"We're experiencing high traffic right now! Please try again soon.","type":"too_many_requests_error","param":"queue","code":"queue_exceeded"}""", body.GetRawText());
        hold.SetResult();
        Assert.Equal(HttpStatusCode.OK, (await first).Response.StatusCode);
        _decode.OnDecode = (_, _) => ScriptedWorker.BrokenAsync([], _decode.Fails(WorkerFailure.Busy), isStarted: false);
        Assert.Equal("queue_exceeded", (await gateway.AskAsync(Text, Good)).Body.GetProperty("code").GetString());

        static async IAsyncEnumerable<DecodeEvent> HeldAsync(Task hold)
        {
            await hold;
            await foreach (DecodeEvent said in ScriptedWorker.TextAsync(ScriptedWorker.Answer)) yield return said;
        }
    }

    [Fact]
    public async Task Without_workers_it_is_503_with_the_reason()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, Good);
        Assert.Equal((503, "no_worker_available"), ((int)response.StatusCode, body.GetProperty("code").GetString()));
        Assert.Contains("prefill-0 (Prefill) is up", body.GetProperty("message").GetString(), StringComparison.Ordinal);
        using HttpResponseMessage health = await gateway.Http.GetAsync("/health");
        Assert.Equal(503, (int)health.StatusCode);
    }

    [Fact]
    public async Task A_failure_after_the_first_token_is_an_event_of_the_stream_and_no_done_follows()
    {
        _decode.OnDecode = (_, _) => ScriptedWorker.BrokenAsync(ScriptedWorker.Answer[..2], _decode.Fails(WorkerFailure.Internal));
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        List<string> events = await gateway.StreamAsync(Text, """{"model":"scripted","prompt":"abc","stream":true}""");
        JsonElement last = JsonDocument.Parse(events[^1]).RootElement;
        Assert.Equal((500, "internal_error"), (last.GetProperty("status_code").GetInt32(), last.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal(3, events.Count);
        Assert.Contains("decode-0", last.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "/v1/nothing", 404, "not_found")]
    [InlineData("GET", "/v1/chat/completions", 405, "method_not_allowed")]
    [InlineData("GET", "/v1/models/nobody", 404, "model_not_found")]
    [InlineData("DELETE", "/v1/models", 405, "method_not_allowed")]
    public async Task Other_paths_and_methods_are_refused_in_the_same_form(string method, string path, int status, string code)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        using HttpResponseMessage response = await gateway.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));
        JsonElement body = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal((status, code), ((int)response.StatusCode, body.GetProperty("code").GetString()));
    }

    [Fact]
    public async Task Metrics_count_what_was_answered_and_refused()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        await gateway.AskAsync(Text, Good);
        await gateway.AskAsync(Text, "{");
        string page = await gateway.Http.GetStringAsync("/metrics");
        Assert.Contains("kvhandoff_gateway_requests_total{path=\"/v1/completions\",route=\"disaggregated\",status=\"200\"} 1\n", page, StringComparison.Ordinal);
        Assert.Contains("kvhandoff_gateway_requests_total{path=\"/v1/completions\",route=\"none\",status=\"400\"} 1\n", page, StringComparison.Ordinal);
        Assert.Contains($"kvhandoff_gateway_tokens_total{{kind=\"completion\"}} {ScriptedWorker.Answer.Length}\n", page, StringComparison.Ordinal);
        Assert.Contains("kvhandoff_gateway_handoff_bytes_total{kind=\"wire\"} 500\n", page, StringComparison.Ordinal);
        Assert.Contains("kvhandoff_worker_free_tokens{worker=\"decode-0\"} 100000\n", page, StringComparison.Ordinal);
        Assert.Contains("kvhandoff_gateway_total_seconds_count 1\n", page, StringComparison.Ordinal);
        // Every line is a comment or a sample: a name, labels perhaps, a number.
        foreach (string line in page.Split('\n', StringSplitOptions.RemoveEmptyEntries)) Assert.Matches("^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*})? [0-9.eE+-]+)$", line);
        Assert.Equal(Encoding.UTF8.GetByteCount(page), page.Length);
    }
}
