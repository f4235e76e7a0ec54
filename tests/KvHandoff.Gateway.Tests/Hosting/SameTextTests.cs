using KvHandoff.Gateway.Tests.Workers;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Tests.Hosting;

[Collection(GatewayTests.Name)]
public sealed class SameTextTests(GatewayFixture gateway)
{
    [Theory]
    [InlineData("short-short", 48)]
    [InlineData("short-long", 96)]
    [InlineData("long-short", 32)]
    [InlineData("long-long", 48)]
    public async Task Every_route_gives_the_text_of_a_single_process(string name, int tokens)
    {
        int[] prompt = ReferenceText.Prompt(name);
        string expected = gateway.Expected(prompt, tokens);
        foreach (string route in (string[])["disaggregated", "monolithic", "disaggregated"])
        {
            StreamedText streamed = await GatewayFixture.StreamAsync(gateway.Program.Http, prompt, tokens, route);
            Assert.Equal((null, true, route), (streamed.Error, streamed.IsDone, streamed.Route));
            Assert.Equal(expected, streamed.Text);
        }
    }

    [Fact]
    public async Task Two_hundred_streams_at_once_each_get_their_own_text_whole()
    {
        const int streams = 200, tokens = 12;
        (int[] Prompt, string Expected)[] cases = [.. Enumerable.Range(0, streams).Select(i => ReferenceText.Passage(i * 70, 24 + i % 60)).Select(prompt => (prompt, gateway.Expected(prompt, tokens)))];
        // If streams could be mixed up unnoticed, this test would be none.
        Assert.True(cases.Select(c => c.Expected).Distinct().Count() > streams / 2);
        StreamedText[] texts = await Task.WhenAll(cases.Select((c, i) => GatewayFixture.StreamAsync(gateway.Program.Http, c.Prompt, tokens, i % 4 == 3 ? "monolithic" : "disaggregated")));
        for (int i = 0; i < streams; i++)
        {
            Assert.True(texts[i].IsDone, $"Stream {i} ended with {texts[i].Error}");
            Assert.Equal(cases[i].Expected, texts[i].Text);
        }

        await gateway.Program.IdleAsync(GatewayFixture.Workers);
    }

    [Fact]
    public async Task A_client_that_leaves_frees_the_blocks_of_its_request()
    {
        foreach (string route in (string[])["disaggregated", "monolithic"])
        {
            using var left = new CancellationTokenSource();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => GatewayFixture.StreamAsync(gateway.Program.Http, ReferenceText.Prompt("short-short"), 8000, route, chunks =>
            {
                if (chunks == 3) left.Cancel();
            }, left.Token));
            // In the same batch the abandoned text would now have thousands of tokens to go.
            Assert.True((await GatewayFixture.StreamAsync(gateway.Program.Http, ReferenceText.Prompt("short-long"), 300, route)).IsDone);
            await gateway.Program.IdleAsync(GatewayFixture.Workers, TimeSpan.FromSeconds(3));
        }
    }

    [Fact]
    public async Task A_seed_draws_the_same_by_every_route()
    {
        var texts = new HashSet<string>();
        foreach (string route in (string[])["disaggregated", "monolithic", "disaggregated"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions")
            {
                Content = new StringContent("""{"model":"llama-bytes-5m","messages":[{"role":"user","content":"And the LORD said"}],"max_tokens":40,"temperature":1.0,"top_p":0.95,"seed":42}"""),
            };
            request.Headers.Add("x-kvhandoff-route", route);
            using HttpResponseMessage response = await gateway.Program.Http.SendAsync(request);
            string body = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, body);
            texts.Add(System.Text.Json.JsonDocument.Parse(body).RootElement.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!);
        }

        Assert.Single(texts);
        Assert.NotEqual(gateway.Expected(ByteTokenizer.Encode("And the LORD said"), 40), texts.Single());
    }

    [Fact]
    public async Task A_stop_sequence_ends_the_text_before_it()
    {
        int[] prompt = ReferenceText.Prompt("short-long");
        string expected = gateway.Expected(prompt, 64);
        string stop = expected[20..24];
        using var content = new StringContent(System.Text.Json.JsonSerializer.Serialize(new { model = "llama-bytes-5m", prompt, max_tokens = 64, stop }));
        using HttpResponseMessage response = await gateway.Program.Http.PostAsync("/v1/completions", content);
        System.Text.Json.JsonElement choice = System.Text.Json.JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.GetProperty("choices")[0];
        Assert.Equal(("stop", expected[..expected.IndexOf(stop, StringComparison.Ordinal)]), (choice.GetProperty("finish_reason").GetString(), choice.GetProperty("text").GetString()));
    }

    [Fact]
    public async Task The_next_turn_of_a_conversation_finds_its_cache()
    {
        int[] first = ReferenceText.Passage(4000, 300), answer = gateway.Reference.Complete(first, 30);
        Assert.Equal(ByteTokenizer.Decode(answer), (await GatewayFixture.StreamAsync(gateway.Program.Http, first, 30, "disaggregated")).Text);
        int[] second = [.. first, .. answer, .. ReferenceText.Passage(5000, 40)];
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions") { Content = new StringContent(System.Text.Json.JsonSerializer.Serialize(new { model = "llama-bytes-5m", prompt = second, max_tokens = 30 })) };
        request.Headers.Add("x-kvhandoff-route", "disaggregated");
        using HttpResponseMessage response = await gateway.Program.Http.SendAsync(request);
        System.Text.Json.JsonElement body = System.Text.Json.JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal(gateway.Expected(second, 30), body.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.InRange(body.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32(), 256, 384);
    }
}
