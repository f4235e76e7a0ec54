using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Limits;

namespace KvHandoff.Gateway.Hosting;

/// <summary>
/// Requests to the gateway itself before the first client's, over each route, one at a time and several at once, until the code that a
/// request runs through is compiled for good: a client must neither wait for the compiler nor share the processors with it.
/// </summary>
/// <param name="gateway">Where it listens.</param>
/// <param name="key">Requests with it are in no account and in no metric.</param>
/// <param name="model">Name of the model.</param>
internal sealed class WarmUp(Uri gateway, LentKey key, string model)
{
    private const int AtOnce = 8, LongestPrompt = 160, AnswerTokens = 12;

    private readonly Random _random = new(1);

    /// <summary>Goes on for so long; every route is taken once at least, and one that fails is left.</summary>
    /// <param name="duration">About how long.</param>
    /// <param name="routes">As the header of a request names them.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <returns>Requests that ended well.</returns>
    internal async Task<int> RunAsync(TimeSpan duration, IReadOnlyList<string> routes, CancellationToken cancellationToken)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = Reachable(gateway), Timeout = Timeout.InfiniteTimeSpan };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key.Text);
        List<string> left = [.. routes];
        long started = Stopwatch.GetTimestamp();
        int done = 0;
        do
        {
            foreach (string route in left.ToArray())
            {
                bool ended = await TryAsync(client, route, cancellationToken);
                bool[] together = ended ? await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => TryAsync(client, route, cancellationToken))) : [];
                if (!ended) left.Remove(route);
                else done += 1 + together.Count(e => e);
            }
        }
        while (left.Count > 0 && Stopwatch.GetElapsedTime(started) < duration);
        return done;
    }

    private async Task<bool> TryAsync(HttpClient client, string route, CancellationToken cancellationToken)
    {
        // No two the same, so that nobody's cache is found.
        string prompt = new([.. Enumerable.Range(0, _random.Next(LongestPrompt / 4, LongestPrompt)).Select(_ => (char)_random.Next('a', 'z' + 1))]);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions") { Content = JsonContent.Create(new { model, prompt, max_tokens = AnswerTokens, stream = true, temperature = 0 }) };
        request.Headers.Add(CompletionEndpoint.RouteHeader, route);
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            await response.Content.CopyToAsync(Stream.Null, cancellationToken);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            // Whoever asks next is told why.
            return false;
        }
    }

    // One that listens on every address is asked on loopback.
    private static Uri Reachable(Uri gateway) => gateway.Host switch
    {
        "0.0.0.0" => new UriBuilder(gateway) { Host = IPAddress.Loopback.ToString() }.Uri,
        "[::]" => new UriBuilder(gateway) { Host = $"[{IPAddress.IPv6Loopback}]" }.Uri,
        _ => gateway,
    };
}
