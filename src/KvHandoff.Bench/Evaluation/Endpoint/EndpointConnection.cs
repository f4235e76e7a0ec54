using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>The HTTP client of a run. Nothing in it retries, redirects, decompresses or keeps cookies: an attempt is one exchange.</summary>
internal sealed class EndpointConnection : IDisposable
{
    private const int MostConnections = 4096, MostModelsBytes = 4 << 20;
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(10), IdleLimit = TimeSpan.FromMinutes(10);
    private readonly HttpClient _http;
    private readonly ApiKey? _key;

    internal EndpointConnection(EndpointAddress address, ApiKey? key)
    {
        (Address, _key) = (address, key);
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            UseProxy = !address.Root.IsLoopback,
            ConnectTimeout = ConnectLimit,
            PooledConnectionIdleTimeout = IdleLimit,
            MaxConnectionsPerServer = MostConnections,
            MaxResponseHeadersLength = 64,
        };
        // Deadlines are the attempts' own.
        _http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    internal EndpointAddress Address { get; }

    /// <summary>Any text of the server's, without the key.</summary>
    internal string Hide(string text) => _key?.Hide(text) ?? text;

    /// <summary>Sends a request; completes when the reply's headers are complete.</summary>
    internal Task<HttpResponseMessage> PostAsync(byte[] body, string requestId, IReadOnlyList<KeyValuePair<string, string>> headers, bool stream, CancellationToken cancellationToken)
    {
        HttpRequestMessage request = Request(HttpMethod.Post, Address.ChatCompletions);
        request.Content = new ByteArrayContent(body);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(stream ? "text/event-stream" : "application/json"));
        request.Headers.TryAddWithoutValidation("x-request-id", requestId);
        foreach ((string name, string value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    /// <summary>Names of the models that the server lists; null from one that is there and has none yet.</summary>
    /// <param name="isLast">One that has none is an error now.</param>
    /// <param name="cancellationToken">Ends the question.</param>
    /// <exception cref="InvalidDataException">It lists none, or cannot be asked.</exception>
    internal async Task<IReadOnlyList<string>?> ModelsAsync(bool isLast, CancellationToken cancellationToken)
    {
        try
        {
            using HttpResponseMessage response = await _http.SendAsync(Request(HttpMethod.Get, Address.Models), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            byte[] body = await ReadAsync(response, MostModelsBytes, cancellationToken);
            if (!isLast && response.StatusCode == HttpStatusCode.ServiceUnavailable) return null;
            if (!response.IsSuccessStatusCode) throw new InvalidDataException($"{Address.Models} answered {Hide(ErrorBody.Describe(body, (int)response.StatusCode) is { } error ? $"{error.Label}: {error.Message}" : "")}; name a model with --model");
            using JsonDocument document = JsonDocument.Parse(body);
            string[] names = document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("data", out JsonElement data) && data.ValueKind == JsonValueKind.Array
                ? [.. data.EnumerateArray().Where(m => m.ValueKind == JsonValueKind.Object && m.TryGetProperty("id", out JsonElement id) && id.ValueKind == JsonValueKind.String).Select(m => m.GetProperty("id").GetString()!).Where(n => n.Length > 0)]
                : [];
            return names.Length > 0 ? names : !isLast ? null : throw new InvalidDataException($"{Address.Models} lists no model; name one with --model");
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or IOException)
        {
            throw new InvalidDataException($"{Address.Models} cannot be asked for models: {Hide(e.Message)} Is the server running? Name a model with --model if it has no such list.");
        }
    }

    /// <summary>Opens connections side by side, so that no measured request pays for one. Failures show later, in requests.</summary>
    internal async Task OpenAsync(int connections, CancellationToken cancellationToken)
    {
        async Task OneAsync()
        {
            try
            {
                using HttpResponseMessage response = await _http.SendAsync(Request(HttpMethod.Get, Address.Models), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
                await ReadAsync(response, MostModelsBytes, cancellationToken);
            }
            catch (Exception e) when (e is HttpRequestException or InvalidDataException or IOException)
            {
            }
        }

        await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => OneAsync()));
    }

    /// <summary>A whole body.</summary>
    /// <exception cref="InvalidDataException">It is longer than allowed.</exception>
    internal static async Task<byte[]> ReadAsync(HttpResponseMessage response, int mostBytes, CancellationToken cancellationToken)
    {
        await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        using var body = new MemoryStream();
        byte[] part = new byte[16 << 10];
        while (await stream.ReadAsync(part, cancellationToken) is > 0 and int read)
        {
            if (body.Length + read > mostBytes) throw new InvalidDataException($"The body is longer than {mostBytes} bytes.");
            body.Write(part, 0, read);
        }

        return body.ToArray();
    }

    public void Dispose() => _http.Dispose();

    private HttpRequestMessage Request(HttpMethod method, Uri address)
    {
        var request = new HttpRequestMessage(method, address);
        if (_key is not null) request.Headers.TryAddWithoutValidation("Authorization", _key.Header);
        return request;
    }
}
