using System.Security.Cryptography;
using System.Text;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>What becomes of each kind of reply, good, odd and broken, over real sockets.</summary>
public sealed class ReplyTests
{
    [Fact]
    public async Task AnUsualStreamIsReadWhole()
    {
        RequestRecord r = await OneAsync(Reply.Events().Role().Content("Hel").Content("lo").Finish("length")
            .Data("""{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":1}},"time_info":{"queue_time":0.25,"prompt_time":0.5,"completion_time":2,"total_time":4,"handoff_time":0.125},"kvhandoff":{"kv_bytes":1000,"wire_bytes":600,"exposed_time":0.01,"first_step_time":0.02,"first_token_time":0.5,"attempts":2,"preemptions":3,"route":"disaggregated","phases":{"encode":0.003,"wire":0.004}}}""")
            .Done().Header("x-kvhandoff-prefill-worker", "p0").Header("x-kvhandoff-decode-worker", "d1"));
        Assert.Equal((Outcomes.Ok, "usage", 7, 4, 11, 3, 1), (r.Outcome, r.TokenSource, r.PromptTokens, r.CompletionTokens, r.TotalTokens, r.CachedTokens, r.ReasoningTokens));
        Assert.Equal((5, 2, 0, "length", "chatcmpl-1", "scripted-model", "fp_1"), (r.Chunks, r.ContentChunks, r.ReasoningChunks, r.FinishReason, r.ResponseId, r.ResponseModel, r.SystemFingerprint));
        Assert.Equal(Hash("Hello"), r.TextSha256);
        ServerTimes server = r.Server!;
        Assert.Equal((0.25, 0.5, 2, 4, 0.125, 1.125, 2), (server.QueueSeconds, server.PromptSeconds, server.CompletionSeconds, server.TotalSeconds, server.HandoffSeconds, server.UnattributedSeconds, server.Throughput));
        Assert.Equal((1000, 600, 0.01, 0.02), (server.Handoff!.KvBytes, server.Handoff.WireBytes, server.Handoff.ExposedSeconds, server.Handoff.FirstStepSeconds));
        Assert.Equal((0.5, 2, 3), (server.Handoff.FirstTokenSeconds, server.Handoff.Attempts, server.Handoff.Preemptions));
        Assert.Equal(0.004, server.Handoff.Phases["wire"]);
        Assert.Equal(("p0", "d1"), (r.Workers["prefill-worker"], r.Workers["decode-worker"]));
    }

    [Fact]
    public async Task ARoleAloneIsNoToken()
    {
        RequestRecord r = await OneAsync(Reply.Events().Role().Pause(60).Content("a").Finish().Usage(5, 1).Done());
        Assert.True(r.Client.FirstTokenSeconds >= 0.05, $"{r.Client.FirstTokenSeconds}");
        // One token has no interval: neither 0 nor infinity.
        Assert.Null(r.Client.InterTokenSeconds);
        Assert.Null(r.Client.OutputSpeed);
        Assert.Null(r.Client.SecondTokenSeconds);
        RequestRecord silent = await OneAsync(Reply.Events().Role().Finish("stop").Usage(5, 0).Done());
        Assert.Equal((Outcomes.Ok, 3, 0, 0), (silent.Outcome, silent.Chunks, silent.ContentChunks, silent.CompletionTokens));
        Assert.NotNull(silent.Client.FirstChunkSeconds);
        Assert.Null(silent.Client.FirstTokenSeconds);
        Assert.Null(silent.TextSha256);
    }

    [Fact]
    public async Task ReasoningAndToolCallsAreTokensToo()
    {
        RequestRecord reasoning = await OneAsync(Reply.Events().Role().Reasoning("so").Reasoning(" be it").Finish().Usage(5, 2).Done());
        Assert.Equal((Outcomes.Ok, 2, 2), (reasoning.Outcome, reasoning.ContentChunks, reasoning.ReasoningChunks));
        Assert.NotNull(reasoning.Client.FirstTokenSeconds);
        byte[] expected = SHA256.HashData([.. SHA256.HashData("so be it"u8), .. SHA256.HashData([])]);
        Assert.Equal(Convert.ToHexStringLower(expected), reasoning.TextSha256);

        RequestRecord other = await OneAsync(Reply.Events().Data("""{"choices":[{"delta":{"reasoning_content":"x"}}]}""").Data("""{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}""").Finish("tool_calls").Usage(5, 2).Done());
        Assert.Equal((2, 1, "tool_calls"), (other.ContentChunks, other.ReasoningChunks, other.FinishReason));
    }

    [Fact]
    public async Task WithoutUsageTokensAreUnknownAndNotCountedFromChunks()
    {
        RequestRecord r = await OneAsync(Reply.Events().Role().Content("a").Pause(5).Content("b").Pause(5).Content("c").Finish().Done());
        Assert.Equal((Outcomes.Ok, "none", 3), (r.Outcome, r.TokenSource, r.ContentChunks));
        Assert.Null(r.CompletionTokens);
        Assert.Null(r.Client.OutputSpeed);
        Assert.Null(r.Client.InterTokenSeconds);
        Assert.NotNull(r.Client.SecondTokenSeconds);
        Assert.Null(r.Server);
        Assert.Null(r.Client.NetworkOverheadSeconds);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ACutStreamIsAnErrorAndIsNotAskedForAgain(bool isReset)
    {
        Reply reply = Reply.Events().Role().Content("a").Pause(20);
        await using var bench = new EndpointBench(_ => isReset ? reply.Cut() : reply);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, "cut stream", 1), (r.Outcome, r.Error!.Label, r.ContentChunks));
        Assert.Single(bench.Server.Posts);
        Assert.Empty(bench.Waits);
        Assert.Equal("the reply had begun", r.Attempts[0].WaitReason);
    }

    [Fact]
    public async Task AFinishReasonMakesAStreamWholeWithoutDone()
    {
        Assert.Equal(Outcomes.Ok, (await OneAsync(Reply.Events().Role().Content("a").Finish().Usage(5, 1))).Outcome);
        // The last event lacks its empty line: [DONE] is whole, anything else is not.
        Assert.Equal(Outcomes.Ok, (await OneAsync(Reply.Events().Content("a").Raw("data: [DONE]"))).Outcome);
        Assert.Equal("cut stream", (await OneAsync(Reply.Events().Content("a").Finish().Raw("data: {\"choices\":[]"))).Error!.Label);
    }

    [Theory]
    [InlineData("data: not json\n\n", "malformed reply")]
    [InlineData("data: [1,2]\n\n", "malformed reply")]
    [InlineData("data: {\"a\":1} trailing\n\n", "malformed reply")]
    [InlineData("data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":\"queue_exceeded\"},\"status_code\":503}\n\n", "error in the stream 503 queue_exceeded")]
    [InlineData("event: error\ndata: {\"message\":\"broken\"}\n\n", "error in the stream")]
    [InlineData("", "empty stream")]
    [InlineData(": only a comment\n\n", "empty stream")]
    public async Task WhatIsNoAnswerIsAnErrorWithALabel(string stream, string label)
    {
        RequestRecord r = await OneAsync(Reply.Events().Raw(stream));
        Assert.Equal((Outcomes.Error, label), (r.Outcome, r.Error!.Label));
        Assert.NotEmpty(r.Error.Message);
    }

    [Fact]
    public async Task AnErrorAfterTokensKeepsWhatHadCome()
    {
        RequestRecord r = await OneAsync(Reply.Events().Role().Content("a").Content("b").Data("""{"error":{"message":"worker lost","type":"server_error","code":"worker_lost"}}"""));
        Assert.Equal((Outcomes.Error, "worker_lost", "worker lost", 2), (r.Outcome, r.Error!.Code, r.Error.Message, r.ContentChunks));
    }

    [Fact]
    public async Task GiantLinesAndStreamsAreBounded()
    {
        var limits = new SseLimits(LineBytes: 4096, EventBytes: 8192, TotalBytes: 16 << 10);
        await using var line = new EndpointBench(_ => Reply.Events().Role().Raw("data: " + new string('x', 100_000)), limits: limits);
        Assert.Equal("stream too large", (await line.SendAsync()).Error!.Label);
        await using var endless = new EndpointBench(_ =>
        {
            Reply reply = Reply.Events();
            for (int i = 0; i < 1000; i++) reply.Content("some text that goes on and on");
            return reply;
        }, limits: limits);
        RequestRecord r = await endless.SendAsync();
        Assert.Contains("16384 bytes", r.Error!.Message);
    }

    [Fact]
    public async Task HalfASurrogatePairIsContentAndNoCrash()
    {
        RequestRecord r = await OneAsync(Reply.Events().Data("""{"choices":[{"delta":{"content":"\ud83d"}}]}""").Data("""{"choices":[{"delta":{"content":"\ude00"}}]}""").Finish().Usage(1, 2).Done());
        Assert.Equal((Outcomes.Ok, 2), (r.Outcome, r.ContentChunks));
    }

    [Fact]
    public async Task AWholeReplyHasNoTimesOfTokens()
    {
        const string Body = """{"id":"x","object":"chat.completion","model":"m","system_fingerprint":"f","choices":[{"index":0,"message":{"role":"assistant","content":"Hi there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"time_info":{"queue_time":0,"prompt_time":0.001,"completion_time":0.002,"total_time":0.004}}""";
        await using var bench = new EndpointBench(_ => Reply.Json(200, Body), stream: false);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Ok, 2, 0, Hash("Hi there")), (r.Outcome, r.CompletionTokens, r.ContentChunks, r.TextSha256));
        Assert.Null(r.Client.FirstTokenSeconds);
        Assert.NotNull(r.FirstByteAt);
        Assert.NotNull(r.Client.NetworkOverheadSeconds);
        // A server that does not stream though asked to.
        Assert.Equal(Outcomes.Ok, (await OneAsync(Reply.Json(200, Body))).Outcome);
        Assert.Equal("malformed reply", (await OneAsync(Reply.Json(200, "<html>"))).Error!.Label);
        Assert.Equal("malformed reply", (await OneAsync(Reply.Json(200, """{"choices":[]}"""))).Error!.Label);
    }

    [Fact]
    public async Task ASilentServerMeetsTheDeadline()
    {
        await using var bench = new EndpointBench(_ => Reply.Events().Role().Content("a").Pause(5000).Content("b").Done(), timeoutSeconds: 0.2);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, "timeout"), (r.Outcome, r.Error!.Label));
        Assert.Single(r.Attempts);
    }

    [Fact]
    public async Task AnInterruptedRequestSaysSo()
    {
        using var cancel = new CancellationTokenSource();
        await using var bench = new EndpointBench(_ => Reply.Events().Role().Content("a").Pause(10_000).Done());
        Task<RequestRecord> sending = bench.SendAsync(cancel.Token);
        await Task.Delay(100);
        await cancel.CancelAsync();
        RequestRecord r = await sending;
        Assert.Equal((Outcomes.Cancelled, "cancelled"), (r.Outcome, r.Error!.Label));
    }

    [Theory]
    [InlineData("""{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}""", "404 model_not_found", "no such model")]
    [InlineData("""{"error":"plain text"}""", "404", "plain text")]
    [InlineData("""{"detail":"Not Found"}""", "404", "Not Found")]
    [InlineData("<html>nginx</html>", "404", "<html>nginx</html>")]
    [InlineData("", "404", "no body")]
    public async Task ErrorBodiesOfAllKindsAreRead(string body, string label, string message)
    {
        await using var bench = new EndpointBench(_ => Reply.Json(404, body));
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, label, message, 404), (r.Outcome, r.Error!.Label, r.Error.Message, r.Error.Status));
        Assert.Single(r.Attempts);
        Assert.Equal("not retryable", r.Attempts[0].WaitReason);
    }

    [Fact]
    public async Task TheRequestIsWrittenAsTheFormatSays()
    {
        await using var bench = new EndpointBench(_ => Reply.Tokens(2));
        RequestRecord r = await bench.SendAsync();
        ScriptedRequest request = Assert.Single(bench.Server.Posts);
        Assert.Equal("/v1/chat/completions", request.Path);
        Assert.Equal("test-1", request.Headers["x-request-id"]);
        Assert.Equal("""{"model":"scripted-model","messages":[{"role":"user","content":"Hello"}],"stream":true,"stream_options":{"include_usage":true},"temperature":0,"max_completion_tokens":16}""", request.Body);
        Assert.False(request.Headers.ContainsKey("authorization"));
        Assert.False(request.Headers.ContainsKey("x-kvhandoff-route"));
        Assert.Equal((Hash("Hello"), 16), (r.PromptSha256, r.MaxCompletionTokens));
    }

    private static async Task<RequestRecord> OneAsync(Reply reply)
    {
        await using var bench = new EndpointBench(_ => reply);
        return await bench.SendAsync();
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
