using System.Net;
using System.Text.Json;
using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Hosting;
using KvHandoff.Gateway.Tests.Routing;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Tests.Api;

public sealed class AnswerTests
{
    private const string Chat = "/v1/chat/completions", Text = "/v1/completions";
    private static readonly string Expected = ByteTokenizer.Decode(ScriptedWorker.Answer);

    private readonly ScriptedWorker _prefill = new("prefill-0", Phase.Prefill), _decode = new("decode-0", Phase.Decode), _both = new("both-0", Phase.Both);

    [Fact]
    public async Task A_chat_answer_has_all_fields_that_the_clients_require()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Chat, """{"model":"scripted","messages":[{"role":"user","content":"abc"}]}""", null, ("x-request-id", "mine-1"));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("chat.completion", body.GetProperty("object").GetString());
        Assert.StartsWith("chatcmpl-", body.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.StartsWith("fp_", body.GetProperty("system_fingerprint").GetString(), StringComparison.Ordinal);
        JsonElement choice = body.GetProperty("choices").EnumerateArray().Single();
        Assert.Equal(("assistant", Expected, "length"), (choice.GetProperty("message").GetProperty("role").GetString(), choice.GetProperty("message").GetProperty("content").GetString(), choice.GetProperty("finish_reason").GetString()));
        AssertUsage(body, prompt: 3);
        Assert.Equal("mine-1", response.Headers.GetValues("x-request-id").Single());
        Assert.Equal("prefill-0", response.Headers.GetValues("x-kvhandoff-prefill-worker").Single());
        Assert.Equal("decode-0", response.Headers.GetValues("x-kvhandoff-decode-worker").Single());
        Assert.Equal(_decode.Decodes.Single().HandoffId.ToString(), response.Headers.GetValues("x-kvhandoff-handoff-id").Single());
        Assert.All(["limit", "remaining", "reset"], kind => Assert.All(["requests-day", "tokens-minute", "requests-minute", "tokens-day"], which => Assert.True(double.Parse(response.Headers.GetValues($"x-ratelimit-{kind}-{which}").Single(), System.Globalization.CultureInfo.InvariantCulture) >= 0)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    public async Task A_stream_is_role_contents_finish_usage_done(int piece)
    {
        _decode.OnDecode = (_, _) => ScriptedWorker.TextAsync(ScriptedWorker.Answer, piece, "stop");
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        List<string> events = await gateway.StreamAsync(Chat, """{"model":"scripted","messages":[{"role":"user","content":"abc"}],"stream":true}""");
        Assert.Equal("[DONE]", events[^1]);
        JsonElement[] chunks = [.. events[..^1].Select(e => JsonDocument.Parse(e).RootElement)];
        Assert.Single(chunks.Select(c => c.GetProperty("id").GetString()).Distinct());
        Assert.All(chunks, c => Assert.Equal("chat.completion.chunk", c.GetProperty("object").GetString()));
        Assert.Equal("assistant", Delta(chunks[0]).GetProperty("role").GetString());
        string[] contents = [.. chunks[1..^2].Select(c => Delta(c).GetProperty("content").GetString()!)];
        Assert.True(contents.Length > 1 && contents.All(c => c.Length > 0));
        Assert.Equal(Expected, string.Concat(contents));
        Assert.Equal("stop", chunks[^2].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.All(chunks[..^2], c => Assert.Equal(JsonValueKind.Null, c.GetProperty("choices")[0].GetProperty("finish_reason").ValueKind));
        Assert.Empty(chunks[^1].GetProperty("choices").EnumerateArray());
        AssertUsage(chunks[^1], prompt: 3);
        Assert.All(chunks[..^1], c => Assert.False(c.TryGetProperty("usage", out _)));
    }

    [Fact]
    public async Task Every_chunk_is_sent_before_the_next_token_is_there()
    {
        var step = new SemaphoreSlim(0);
        _decode.OnDecode = (_, _) => SteppedAsync(step);
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        using HttpResponseMessage response = await gateway.PostAsync(Text, """{"model":"scripted","prompt":"abc","stream":true}""");
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        foreach (string expected in (string[])["x", "y", "z"])
        {
            step.Release();
            string line = (await reader.ReadLineAsync())!;
            Assert.Equal(expected, JsonDocument.Parse(line["data: ".Length..]).RootElement.GetProperty("choices")[0].GetProperty("text").GetString());
            Assert.Equal("", await reader.ReadLineAsync());
        }

        static async IAsyncEnumerable<DecodeEvent> SteppedAsync(SemaphoreSlim step)
        {
            yield return new DecodeStarted(0, 0, 0);
            foreach (char c in "xyz")
            {
                await step.WaitAsync();
                yield return new DecodeTokens([c]);
            }

            yield return new DecodeFinished("length", 3, 0.1, 0.1, 0);
        }
    }

    [Fact]
    public async Task Characters_that_tokens_cut_are_whole_in_every_chunk_and_the_texts_are_the_same()
    {
        int[] tokens = [.. ByteTokenizer.Encode("ä€𝄞"), 0xFF, .. ByteTokenizer.Encode("\"\\\n"), 0xE2, 0x82];
        _decode.OnDecode = (_, _) => ScriptedWorker.TextAsync(tokens);
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (_, JsonElement whole) = await gateway.AskAsync(Text, """{"model":"scripted","prompt":"abc"}""");
        List<string> events = await gateway.StreamAsync(Text, """{"model":"scripted","prompt":"abc","stream":true}""");
        string[] pieces = [.. events[..^2].Select(e => JsonDocument.Parse(e).RootElement.GetProperty("choices")[0].GetProperty("text").GetString()!)];
        Assert.Equal("ä€𝄞\uFFFD\"\\\n\uFFFD", string.Concat(pieces));
        Assert.Equal(string.Concat(pieces), whole.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.DoesNotContain(pieces, p => p.Length == 1 && char.IsSurrogate(p[0]));
    }

    [Theory]
    [InlineData("""[{"role":"user","content":"one"}]""", "one")]
    [InlineData("""[{"role":"system","content":"one"},{"role":"user","content":"two"}]""", "one\n\ntwo")]
    [InlineData("""[{"role":"user","content":[{"type":"text","text":"one "},{"type":"text","text":"two"}]},{"role":"assistant","content":null},{"role":"tool","content":"3"}]""", "one two\n\n\n\n3")]
    public async Task Messages_become_a_prompt_joined_by_blank_lines(string messages, string expected)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (HttpResponseMessage response, _) = await gateway.AskAsync(Chat, $$$"""{"model":"scripted","messages":{{{messages}}},"user":"ignored","no_such_field":{"a":1}}""");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(expected, ByteTokenizer.Decode(_prefill.Prefills.Single().Prompt));
    }

    [Theory]
    [InlineData("\"abc\"")]
    [InlineData("[\"abc\"]")]
    [InlineData("[97,98,99]")]
    [InlineData("[[97,98,99]]")]
    public async Task A_prompt_may_be_text_or_tokens(string prompt)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        (_, JsonElement body) = await gateway.AskAsync(Text, $$"""{"model":"scripted","prompt":{{prompt}}}""");
        Assert.Equal(Expected, body.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.Equal("abc", ByteTokenizer.Decode(_prefill.Prefills.Single().Prompt));
    }

    [Fact]
    public async Task Parameters_reach_both_workers()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        await gateway.AskAsync(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}],"max_tokens":5,"max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"seed":-3,"stop":["\n\n","END"]}""");
        DecodeRequest decode = _decode.Decodes.Single();
        var sampling = new SamplingOptions(0.5, 0.9, unchecked((ulong)-3L));
        Assert.Equal((7, sampling), (decode.MaxTokens, decode.Sampling));
        Assert.Equal(sampling, _prefill.Prefills.Single().Sampling);
        Assert.Equal(["\n\n", "END"], decode.Stop.Select(s => ByteTokenizer.Decode(s)));
        await gateway.AskAsync(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}]}""");
        Assert.Equal((512, 0.0, 1.0), (_decode.Decodes.Last().MaxTokens, _decode.Decodes.Last().Sampling.Temperature, _decode.Decodes.Last().Sampling.TopP));
    }

    [Fact]
    public async Task The_default_length_ends_with_the_context()
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        await gateway.AskAsync(Text, $$"""{"model":"scripted","prompt":"{{new string('a', 4000)}}"}""");
        Assert.Equal(96, _decode.Decodes.Single().MaxTokens);
    }

    [Theory]
    [InlineData("disaggregated", "decode-0")]
    [InlineData("monolithic", "both-0")]
    public async Task The_route_can_be_chosen(string route, string worker)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode, _both);
        (HttpResponseMessage response, JsonElement body) = await gateway.AskAsync(Text, """{"model":"scripted","prompt":"abc"}""", null, ("x-kvhandoff-route", route));
        Assert.Equal((route, worker), (response.Headers.GetValues("x-kvhandoff-route").Single(), response.Headers.GetValues("x-kvhandoff-decode-worker").Single()));
        Assert.Equal(route == "disaggregated", body.GetProperty("kvhandoff").TryGetProperty("wire_bytes", out _));
    }

    [Theory]
    [InlineData(true, "", true)]
    [InlineData(true, ""","stream_options":{"include_usage":false}""", false)]
    [InlineData(false, "", false)]
    [InlineData(false, ""","stream_options":{"include_usage":true}""", true)]
    public async Task Usage_ends_a_stream_as_settings_and_client_say(bool always, string options, bool expected)
    {
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(new GatewaySettings { Api = new ApiOptions { AlwaysSendUsage = always } }, [], _prefill, _decode);
        List<string> events = await gateway.StreamAsync(Text, $$"""{"model":"scripted","prompt":"abc","stream":true{{options}}}""");
        Assert.Equal(expected, events.Any(e => e.Contains("\"usage\"", StringComparison.Ordinal)));
        Assert.Equal(expected, events.Any(e => e.Contains("\"time_info\"", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_client_that_leaves_frees_the_workers()
    {
        _decode.OnDecode = (_, cancel) => ScriptedWorker.SilentAsync(ScriptedWorker.Answer[..3], cancel);
        await using ScriptedGateway gateway = await ScriptedGateway.StartAsync(_prefill, _decode);
        using (HttpResponseMessage response = await gateway.PostAsync(Chat, """{"model":"scripted","messages":[{"role":"user","content":"a"}],"stream":true}"""))
        {
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
            await reader.ReadLineAsync();
            Assert.Equal(1, _decode.Open);
        }

        for (int i = 0; _decode.Open > 0; i++)
        {
            Assert.True(i < 500, "The worker still works for a client that has left.");
            await Task.Delay(10);
        }
    }

    private static JsonElement Delta(JsonElement chunk) => chunk.GetProperty("choices")[0].GetProperty("delta");

    private static void AssertUsage(JsonElement body, int prompt)
    {
        JsonElement usage = body.GetProperty("usage"), time = body.GetProperty("time_info");
        Assert.Equal((prompt, ScriptedWorker.Answer.Length, prompt + ScriptedWorker.Answer.Length), (usage.GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("completion_tokens").GetInt32(), usage.GetProperty("total_tokens").GetInt32()));
        Assert.Equal(0, usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        double[] parts = [.. ((string[])["queue_time", "prompt_time", "completion_time", "handoff_time"]).Select(n => time.GetProperty(n).GetDouble())];
        Assert.All(parts, p => Assert.True(p >= 0));
        Assert.True(time.GetProperty("completion_time").GetDouble() > 0);
        Assert.True(time.GetProperty("total_time").GetDouble() - parts.Sum() > -1e-12, "The parts exceed the whole.");
        Assert.True(time.GetProperty("created").GetInt64() > 1_600_000_000);
    }
}
