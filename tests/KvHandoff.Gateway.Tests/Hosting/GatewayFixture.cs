using System.Net;
using System.Text;
using System.Text.Json;
using KvHandoff.Gateway.Tests.Workers;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Tests.Hosting;

/// <summary>One gateway with real worker processes, and the texts that a single process gives.</summary>
public sealed class GatewayFixture : IAsyncLifetime
{
    internal const int Workers = 5;

    internal GatewayProgram Program { get; private set; } = null!;

    internal ReferenceText Reference { get; } = new();

    public async Task InitializeAsync() => Program = await GatewayProgram.ServeAsync(["--prefill-workers", "2", "--decode-workers", "2", "--threads", "1", "--request-timeout", "120"]);

    public async Task DisposeAsync()
    {
        await Program.DisposeAsync();
        Reference.Dispose();
    }

    /// <summary>The text that one process alone gives.</summary>
    internal string Expected(int[] prompt, int tokens) => ByteTokenizer.Decode(Reference.Complete(prompt, tokens));

    /// <summary>The text of a stream; what went wrong, where it did, is in <see cref="StreamedText.Error"/>.</summary>
    internal static async Task<StreamedText> StreamAsync(HttpClient http, int[] prompt, int tokens, string? route = null, Action<int>? chunkCame = null, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent(JsonSerializer.Serialize(new { model = "llama-bytes-5m", prompt, max_tokens = tokens, stream = true, temperature = 0 }), Encoding.UTF8, "application/json"),
        };
        if (route is not null) request.Headers.Add("x-kvhandoff-route", route);
        using HttpResponseMessage response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (response.StatusCode != HttpStatusCode.OK) return new StreamedText("", 0, false, await response.Content.ReadAsStringAsync(cancellationToken), "");
        var text = new StringBuilder();
        int chunks = 0;
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.Length == 0) continue;
            string data = line["data: ".Length..];
            if (data == "[DONE]") return new StreamedText(text.ToString(), chunks, true, null, response.Headers.GetValues("x-kvhandoff-route").Single());
            JsonElement chunk = JsonDocument.Parse(data).RootElement;
            if (chunk.TryGetProperty("error", out JsonElement error)) return new StreamedText(text.ToString(), chunks, false, error.ToString(), "");
            if (chunk.GetProperty("choices").GetArrayLength() == 0) continue;
            text.Append(chunk.GetProperty("choices")[0].GetProperty("text").GetString());
            chunkCame?.Invoke(++chunks);
        }

        return new StreamedText(text.ToString(), chunks, false, null, "");
    }
}

/// <summary>What came of a stream.</summary>
/// <param name="Text">The text of its chunks.</param>
/// <param name="Chunks">How many they were.</param>
/// <param name="IsDone">Whether it ended with [DONE].</param>
/// <param name="Error">The typed error that it ended with; null where there was none.</param>
/// <param name="Route">The way it took.</param>
internal sealed record StreamedText(string Text, int Chunks, bool IsDone, string? Error, string Route);

/// <summary>Tests that share the gateway run one after another.</summary>
[CollectionDefinition(Name)]
public sealed class GatewayTests : ICollectionFixture<GatewayFixture>
{
    public const string Name = "gateway";
}
