using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Hosting;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Tests.Api;
using KvHandoff.Gateway.Tests.Hosting;
using KvHandoff.Gateway.Tests.Routing;
using KvHandoff.Gateway.Tests.Workers;
using KvHandoff.Model;
using OpenAI;
using OpenAI.Chat;

namespace KvHandoff.Gateway.Tests.Clients;

/// <summary>The official OpenAI client for .NET against the gateway.</summary>
[Collection(GatewayTests.Name)]
public sealed class OpenAiClientTests(GatewayFixture gateway)
{
    private static readonly string Prompt = Encoding.UTF8.GetString([.. ReferenceText.Prompt("short-short").Select(t => (byte)t)]);

    [Fact]
    public async Task A_chat_is_completed_with_usage()
    {
        ChatClient client = Client(gateway.Program.Http.BaseAddress!, "llama-bytes-5m");
        ChatCompletion completion = await client.CompleteChatAsync([new UserChatMessage(Prompt)], new ChatCompletionOptions { MaxOutputTokenCount = 40, Temperature = 0 });
        Assert.Equal(gateway.Expected(ReferenceText.Prompt("short-short"), 40), completion.Content.Single().Text);
        Assert.Equal((ChatFinishReason.Length, ChatMessageRole.Assistant), (completion.FinishReason, completion.Role));
        Assert.Equal((Prompt.Length, 40, Prompt.Length + 40), (completion.Usage.InputTokenCount, completion.Usage.OutputTokenCount, completion.Usage.TotalTokenCount));
        Assert.StartsWith("fp_", completion.SystemFingerprint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stream_comes_in_pieces_and_ends_with_usage()
    {
        ChatClient client = Client(gateway.Program.Http.BaseAddress!, "llama-bytes-5m");
        var text = new StringBuilder();
        int pieces = 0;
        ChatTokenUsage? usage = null;
        ChatFinishReason? reason = null;
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync([new UserChatMessage(Prompt)], new ChatCompletionOptions { MaxOutputTokenCount = 40, Temperature = 0 }))
        {
            foreach (ChatMessageContentPart part in update.ContentUpdate)
            {
                if (part.Text.Length > 0) pieces++;
                text.Append(part.Text);
            }

            usage = update.Usage ?? usage;
            reason = update.FinishReason ?? reason;
        }

        Assert.Equal(gateway.Expected(ReferenceText.Prompt("short-short"), 40), text.ToString());
        Assert.True(pieces > 1);
        Assert.Equal((40, ChatFinishReason.Length), (usage!.OutputTokenCount, reason));
    }

    [Fact]
    public async Task Errors_have_their_status_and_their_words()
    {
        Uri address = gateway.Program.Http.BaseAddress!;
        var unknown = await Assert.ThrowsAsync<ClientResultException>(() => Client(address, "no-such-model").CompleteChatAsync("hello"));
        Assert.Equal(404, unknown.Status);
        Assert.Contains("no-such-model", unknown.Message, StringComparison.Ordinal);
        var tooLong = await Assert.ThrowsAsync<ClientResultException>(() => Client(address, "llama-bytes-5m").CompleteChatAsync(new string('a', 9000)));
        Assert.Equal(400, tooLong.Status);
        Assert.Contains("context_length_exceeded", tooLong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_429_is_retried_after_the_time_that_it_names_and_a_key_is_asked_for()
    {
        // The first answer turns out dearer than all that there is: the account is 300 tokens short, which are back in three seconds.
        var costly = new ScriptedWorker("both-0", Phase.Both);
        costly.OnGenerate = (_, _) => costly.Generates.Count == 1 ? CostlyAsync() : ScriptedWorker.TextAsync(ScriptedWorker.Answer);
        await using ScriptedGateway scripted = await ScriptedGateway.StartAsync(new GatewaySettings { Limits = new RateLimits { TokensPerMinute = 6000 } }, ["the-right-key"], costly);
        await scripted.AskAsync("/v1/completions", """{"model":"scripted","prompt":"abc"}""", "the-right-key");
        ChatClient client = Client(scripted.Address, "scripted", "the-right-key");
        ChatCompletion completion = await client.CompleteChatAsync("hello");
        Assert.Equal(ByteTokenizer.Decode(ScriptedWorker.Answer), completion.Content.Single().Text);
        string page = await scripted.Http.GetStringAsync("/metrics");
        Assert.Matches("path=\"/v1/chat/completions\",route=\"none\",status=\"429\"} [1-9]", page);
        var denied = await Assert.ThrowsAsync<ClientResultException>(() => Client(scripted.Address, "scripted", "a-wrong-key").CompleteChatAsync("hello"));
        Assert.Equal(401, denied.Status);
        // A quota that waiting does not help against is passed on.
        await using ScriptedGateway spent = await ScriptedGateway.StartAsync(new GatewaySettings { Limits = new RateLimits { RequestsPerDay = 1 } }, [], new ScriptedWorker("both-0", Phase.Both));
        var options = new OpenAIClientOptions { Endpoint = new Uri(spent.Address, "v1"), RetryPolicy = new ClientRetryPolicy(0) };
        var impatient = new ChatClient("scripted", new ApiKeyCredential("any-key"), options);
        await impatient.CompleteChatAsync("hello");
        Assert.Equal(429, (await Assert.ThrowsAsync<ClientResultException>(() => impatient.CompleteChatAsync("hello"))).Status);

        static async IAsyncEnumerable<DecodeEvent> CostlyAsync()
        {
            await Task.Yield();
            yield return new DecodeStarted(0, 0, 0);
            yield return new DecodeTokens([65]);
            yield return new DecodeFinished("length", 6297, 0.1, 0.1, 0);
        }
    }

    private static ChatClient Client(Uri address, string model, string key = "any-key") => new(model, new ApiKeyCredential(key), new OpenAIClientOptions { Endpoint = new Uri(address, "v1") });
}
