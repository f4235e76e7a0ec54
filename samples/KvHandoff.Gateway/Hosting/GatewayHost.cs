using System.Net;
using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Metrics;
using KvHandoff.Gateway.Routing;
using KvHandoff.Session;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace KvHandoff.Gateway.Hosting;

/// <summary>A running gateway: its HTTP server, its pool of workers, its directory.</summary>
internal sealed class GatewayHost : IAsyncDisposable
{
    private const int RememberedPrefixes = 65_536;
    private static readonly TimeSpan StatusInterval = TimeSpan.FromMilliseconds(200), StatusSilence = TimeSpan.FromSeconds(10);

    private readonly WebApplication _app;
    private readonly IReadOnlyList<IWorkerDirectory> _directories;

    private GatewayHost(WebApplication app, WorkerPool pool, IReadOnlyList<IWorkerDirectory> directories)
    {
        (_app, Pool, _directories) = (app, pool, directories);
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
    }

    /// <summary>Where it listens, with the port that it got.</summary>
    internal Uri Address { get; }

    internal WorkerPool Pool { get; }

    /// <summary>Starts to listen, then to learn of workers.</summary>
    /// <exception cref="IOException">The address is taken.</exception>
    internal static async Task<GatewayHost> StartAsync(GatewaySettings settings, ApiKeys keys, TicketKeyRing tickets, IReadOnlyList<IWorkerDirectory> directories, CancellationToken cancellationToken)
    {
        var prefixes = new PrefixMemory(RememberedPrefixes);
        var pool = new WorkerPool(prefixes, StatusInterval, StatusSilence);
        var metrics = new GatewayMetrics();
        var dispatcher = new Dispatcher(pool, new WorkerChooser(pool, prefixes), prefixes, new TicketIssuer(tickets), settings.Routing, metrics);
        var services = new GatewayServices(settings.Api, keys, new AdmissionQueue(settings.MaxRunning, settings.MaxQueue), pool, new ServedModels(pool, settings.Api.Aliases), dispatcher, metrics);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Configuration.Sources.Clear();
        builder.Logging.ClearProviders().AddSimpleConsole(o => o.SingleLine = true).SetMinimumLevel(LogLevel.Error);
        builder.Services.AddSingleton<IHostLifetime, SilentLifetime>();
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = settings.Drain);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = settings.Api.MaxBodyBytes;
            kestrel.Limits.MaxRequestHeadersTotalSize = 16 << 10;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
            kestrel.Listen(new IPEndPoint(settings.Listen.Address, settings.Listen.Port));
        });
        WebApplication app = builder.Build();
        GatewayApi.Map(app, services);
        await app.StartAsync(cancellationToken);
        var host = new GatewayHost(app, pool, directories);
        foreach (IWorkerDirectory directory in directories) await directory.StartAsync(pool, cancellationToken);
        return host;
    }

    /// <summary>Takes no more requests and lets those in hand end, for as long as the settings say.</summary>
    internal async Task DrainAsync()
    {
        try
        {
            await _app.StopAsync(CancellationToken.None);
        }
        catch (OperationCanceledException)
        {
            // What has not ended by now is cut off.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        foreach (IWorkerDirectory directory in _directories) await directory.DisposeAsync();
        await Pool.DisposeAsync();
    }

    // Signals are this program's, which drains before it ends.
    private sealed class SilentLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
