using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Hosting;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;
using KvHandoff.Gateway.Tests.Routing;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Tests.Api;

/// <summary>The real gateway on a real port of loopback, over scripted workers.</summary>
internal sealed class ScriptedGateway : IAsyncDisposable
{
    private readonly GatewayHost _host;

    private ScriptedGateway(GatewayHost host)
    {
        _host = host;
        Http = new HttpClient { BaseAddress = host.Address };
    }

    internal HttpClient Http { get; }

    internal Uri Address => _host.Address;

    internal static Task<ScriptedGateway> StartAsync(params IWorker[] workers) => StartAsync(new GatewaySettings(), [], workers);

    internal static async Task<ScriptedGateway> StartAsync(GatewaySettings settings, string[] keys, params IWorker[] workers)
    {
        settings = settings with { Listen = new ListenAddress(IPAddress.Loopback, 0), Routing = settings.Routing with { WorkerWait = TimeSpan.FromMilliseconds(200), BusyWait = TimeSpan.FromMilliseconds(200) } };
        GatewayHost host = await GatewayHost.StartAsync(settings, ApiKeys.Parse(keys, settings.Limits, TimeProvider.System), new TicketKeyRing(1, new byte[32]), [new Given(workers)], CancellationToken.None);
        while (host.Pool.Seats.Any(s => !s.IsUp)) await Task.Delay(5);
        return new ScriptedGateway(host);
    }

    /// <summary>Sends JSON as it is written.</summary>
    internal Task<HttpResponseMessage> PostAsync(string path, string json, string? key = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(json, Encoding.UTF8, "application/json") };
        if (key is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        foreach ((string name, string value) in headers) request.Headers.Add(name, value);
        return Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    /// <summary>Sends a request and reads the JSON of the reply.</summary>
    internal async Task<(HttpResponseMessage Response, JsonElement Body)> AskAsync(string path, string json, string? key = null, params (string Name, string Value)[] headers)
    {
        HttpResponseMessage response = await PostAsync(path, json, key, headers);
        return (response, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    /// <summary>The data of all events of a stream, [DONE] included.</summary>
    internal async Task<List<string>> StreamAsync(string path, string json, params (string Name, string Value)[] headers)
    {
        using HttpResponseMessage response = await PostAsync(path, json, null, headers);
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        Assert.EndsWith("\n\n", body, StringComparison.Ordinal);
        return [.. body.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(e =>
        {
            Assert.StartsWith("data: ", e, StringComparison.Ordinal);
            return e["data: ".Length..];
        })];
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _host.DisposeAsync();
    }

    private sealed class Given(IWorker[] workers) : IWorkerDirectory
    {
        public Task StartAsync(WorkerPool pool, CancellationToken cancellationToken)
        {
            foreach (IWorker worker in workers) pool.Add(worker, "unix:///" + worker.Name);
            return Task.CompletedTask;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
