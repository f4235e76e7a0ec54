using System.Net;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace KvHandoff.Gateway.Workers;

/// <summary>A worker's control address: HTTP/1.1 on a Unix socket or a TCP port. Closing a request cancels it.</summary>
internal sealed class WorkerServer : IAsyncDisposable
{
    private static readonly TimeSpan ShutdownLimit = TimeSpan.FromSeconds(1);

    private readonly WebApplication _app;
    private readonly string? _socketFile;

    private WorkerServer(WebApplication app, string address, string? socketFile) => (_app, Address, _socketFile) = (app, address, socketFile);

    /// <summary>Where it listens, with the port that it got.</summary>
    public string Address { get; }

    /// <summary>Starts listening.</summary>
    /// <param name="worker">Who does the work.</param>
    /// <param name="address">"unix:///path", or "http://127.0.0.1:port" with 0 for any free port.</param>
    /// <param name="key">Callers have to show its credential; null: anybody who can connect may ask.</param>
    /// <param name="allowRemote">Whether the address may be another than loopback: what travels is not encrypted.</param>
    /// <exception cref="ArgumentException">The address cannot be listened on.</exception>
    public static async Task<WorkerServer> StartAsync(IWorker worker, string address, WorkerKey? key, bool allowRemote = false)
    {
        WorkerAddress target = WorkerAddress.Parse(address);
        if (target.SocketPath is null && !IsLoopback(target.Host!) && (!allowRemote || key is null))
            throw new ArgumentException($"The control address is {address}; without a key and a word that plaintext is allowed it must be a Unix socket or loopback.", nameof(address));
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.Replace(ServiceDescriptor.Singleton<IHostLifetime, UnattendedLifetime>());
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = ShutdownLimit);
        if (target.SocketPath is { } stale) File.Delete(stale);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = WorkerWire.MaxRequestBytes;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.AddServerHeader = false;
            if (target.SocketPath is { } path) kestrel.ListenUnixSocket(path, l => l.Protocols = HttpProtocols.Http1);
            else kestrel.Listen(IPAddress.TryParse(target.Host, out IPAddress? ip) ? ip : IPAddress.Loopback, target.Port, l => l.Protocols = HttpProtocols.Http1);
        });
        WebApplication app = builder.Build();
        if (key is not null) app.Use((context, next) => IsAllowed(context, key) ? next(context) : RefuseAsync(context));
        WorkerEndpoints.Map(app, worker);
        await app.StartAsync();
        if (target.SocketPath is { } file)
        {
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            return new WorkerServer(app, address, file);
        }

        string bound = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return new WorkerServer(app, bound, null);
    }

    /// <summary>Stops listening; open requests are cancelled.</summary>
    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
        if (_socketFile is not null) File.Delete(_socketFile);
    }

    private static bool IsLoopback(string host) => host == "localhost" || (IPAddress.TryParse(host, out IPAddress? ip) && IPAddress.IsLoopback(ip));

    private static bool IsAllowed(HttpContext context, WorkerKey key)
    {
        string header = context.Request.Headers.Authorization.ToString();
        return header.StartsWith(WorkerWire.Scheme + " ", StringComparison.Ordinal) && key.Accepts(header[(WorkerWire.Scheme.Length + 1)..]);
    }

    private static Task RefuseAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status401Unauthorized;
        return context.Response.WriteAsJsonAsync(new DecodeFailed(WorkerFailure.Invalid, "the caller does not show the worker's credential."), WorkerWire.Json);
    }

    // Signals are the program's business, of which this is a part.
    private sealed class UnattendedLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
