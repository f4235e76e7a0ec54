using System.Globalization;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace KvHandoff.Gateway.Discovery;

/// <summary>One change of a watched key.</summary>
/// <param name="Key">The key.</param>
/// <param name="Value">What it holds now; null: it was deleted, or its lease has run out.</param>
internal readonly record struct EtcdChange(string Key, byte[]? Value);

/// <summary>etcd did not do what it was asked.</summary>
internal sealed class EtcdException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// The part of etcd's v3 API that a directory needs, over its JSON gateway: keys and values travel as base64, 64-bit numbers as strings.
/// Thread-safe. With several endpoints the next is taken when one fails.
/// </summary>
internal sealed class EtcdClient(IReadOnlyList<Uri> endpoints) : IDisposable
{
    private const int MaxReplyBytes = 8 << 20, MaxWatchLineCharacters = 8 << 20;
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(5);

    // etcd's field names are written as they are: "ID" is not "id".
    private static readonly JsonSerializerOptions AsWritten = new();

    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(2), UseProxy = false }) { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = MaxReplyBytes };
    private int _current;

    /// <summary>A lease that ends by itself unless it is kept alive.</summary>
    internal async Task<long> GrantAsync(TimeSpan timeToLive, CancellationToken cancellationToken)
    {
        using JsonDocument reply = await CallAsync("v3/lease/grant", new { TTL = Math.Max(1, (long)timeToLive.TotalSeconds) }, cancellationToken);
        return Number(reply.RootElement, "ID") is > 0 and var id ? id : throw new EtcdException("etcd granted a lease without an ID.");
    }

    /// <summary>Whether the lease lives on.</summary>
    internal async Task<bool> KeepAliveAsync(long lease, CancellationToken cancellationToken)
    {
        using JsonDocument reply = await CallAsync("v3/lease/keepalive", new { ID = Text(lease) }, cancellationToken);
        // The reply is one of a stream: it is wrapped, and a lease that is gone has no TTL.
        return reply.RootElement.TryGetProperty("result", out JsonElement result) && Number(result, "TTL") > 0;
    }

    internal async Task RevokeAsync(long lease, CancellationToken cancellationToken)
    {
        using JsonDocument reply = await CallAsync("v3/lease/revoke", new { ID = Text(lease) }, cancellationToken);
    }

    internal async Task PutAsync(string key, byte[] value, long lease, CancellationToken cancellationToken)
    {
        using JsonDocument reply = await CallAsync("v3/kv/put", new { key = Base64(key), value = Convert.ToBase64String(value), lease = Text(lease) }, cancellationToken);
    }

    /// <summary>All keys that begin so, and the revision that this is the state of.</summary>
    internal async Task<(long Revision, Dictionary<string, byte[]> Values)> RangeAsync(string prefix, CancellationToken cancellationToken)
    {
        using JsonDocument reply = await CallAsync("v3/kv/range", new { key = Base64(prefix), range_end = Base64(EndOf(prefix)) }, cancellationToken);
        var values = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        if (reply.RootElement.TryGetProperty("kvs", out JsonElement pairs))
        {
            foreach (JsonElement pair in pairs.EnumerateArray()) values[KeyOf(pair)] = ValueOf(pair);
        }

        return (reply.RootElement.TryGetProperty("header", out JsonElement header) ? Number(header, "revision") : 0, values);
    }

    /// <summary>The changes from a revision on, as they happen. Ends only with an exception.</summary>
    /// <exception cref="EtcdException">The connection broke, or the revision is no longer kept: take the state again.</exception>
    internal async IAsyncEnumerable<IReadOnlyList<EtcdChange>> WatchAsync(string prefix, long fromRevision, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(endpoints[_current % endpoints.Count], "v3/watch"))
        {
            Content = JsonContent.Create(new { create_request = new { key = Base64(prefix), range_end = Base64(EndOf(prefix)), start_revision = Text(fromRevision), progress_notify = true } }, options: AsWritten),
        };
        using HttpResponseMessage response = await Guarded(() => _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken));
        if (!response.IsSuccessStatusCode) throw new EtcdException($"etcd answers a watch with {(int)response.StatusCode}.");
        using Stream body = await response.Content.ReadAsStreamAsync(cancellationToken);
        using var reader = new StreamReader(body);
        var lines = new BoundedLines(reader, MaxWatchLineCharacters);
        while (true)
        {
            string line = await Guarded(() => lines.ReadAsync(cancellationToken)) ?? throw new EtcdException("etcd ended the watch.");
            if (line.Length == 0) continue;
            yield return Changes(line);
        }
    }

    public void Dispose() => _http.Dispose();

    private static List<EtcdChange> Changes(string line)
    {
        var changes = new List<EtcdChange>();
        using JsonDocument message = Parse(line);
        if (!message.RootElement.TryGetProperty("result", out JsonElement result)) throw new EtcdException($"etcd answers a watch with {line[..Math.Min(200, line.Length)]}");
        if (result.TryGetProperty("canceled", out JsonElement canceled) && canceled.ValueKind == JsonValueKind.True) throw new EtcdException("etcd cancelled the watch; its revision may have been compacted.");
        if (!result.TryGetProperty("events", out JsonElement events)) return changes;
        foreach (JsonElement change in events.EnumerateArray())
        {
            // The default, PUT, is left out.
            bool deleted = change.TryGetProperty("type", out JsonElement type) && type.ValueEquals("DELETE");
            JsonElement pair = change.GetProperty("kv");
            changes.Add(new EtcdChange(KeyOf(pair), deleted ? null : ValueOf(pair)));
        }

        return changes;
    }

    private async Task<JsonDocument> CallAsync(string path, object body, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(CallLimit);
        try
        {
            using HttpResponseMessage response = await _http.PostAsJsonAsync(new Uri(endpoints[_current % endpoints.Count], path), body, AsWritten, limit.Token);
            byte[] reply = await response.Content.ReadAsByteArrayAsync(limit.Token);
            if (!response.IsSuccessStatusCode) throw new EtcdException($"etcd answers {path} with {(int)response.StatusCode}: {Encoding.UTF8.GetString(reply.AsSpan(0, Math.Min(200, reply.Length)))}");
            return JsonDocument.Parse(reply);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            Interlocked.Increment(ref _current);
            throw new EtcdException($"etcd does not answer {path}: {e.Message}", e);
        }
    }

    private async Task<T> Guarded<T>(Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            Interlocked.Increment(ref _current);
            throw new EtcdException($"etcd does not answer: {e.Message}", e);
        }
    }

    private static JsonDocument Parse(string text)
    {
        try
        {
            return JsonDocument.Parse(text);
        }
        catch (JsonException e)
        {
            throw new EtcdException($"etcd sent what is no JSON: {e.Message}", e);
        }
    }

    private static long Number(JsonElement parent, string field) => parent.TryGetProperty(field, out JsonElement value)
        ? value.ValueKind == JsonValueKind.String ? long.Parse(value.GetString()!, CultureInfo.InvariantCulture) : value.GetInt64()
        : 0;

    private static string KeyOf(JsonElement pair) => Encoding.UTF8.GetString(pair.GetProperty("key").GetBytesFromBase64());

    private static byte[] ValueOf(JsonElement pair) => pair.TryGetProperty("value", out JsonElement value) ? value.GetBytesFromBase64() : [];

    private static string Base64(string key) => Convert.ToBase64String(Encoding.UTF8.GetBytes(key));

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    // The first key that no longer begins so.
    private static string EndOf(string prefix) => prefix[..^1] + (char)(prefix[^1] + 1);
}
