using System.Runtime.InteropServices;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Stages;
using KvHandoff.Gateway.Workers;

namespace KvHandoff.Gateway.Hosting;

/// <summary>This process's life as a gateway: starts, serves until a signal, drains, ends.</summary>
internal static class GatewayRun
{
    internal const string KeyVariable = "KVHANDOFF_TICKET_KEY";

    internal static async Task<int> RunAsync(GatewaySettings settings)
    {
        ApiKeys keys;
        WorkerKey key;
        byte[] secret = WorkerKey.Create();
        bool hasOwnKey;
        try
        {
            keys = ApiKeys.Load(settings.ApiKeysFile, Environment.GetEnvironmentVariable(ApiKeys.Variable), settings.Limits, TimeProvider.System);
            WorkerKey? given = WorkerKey.FromEnvironment(KeyVariable);
            (hasOwnKey, key) = (given is null, given ?? new WorkerKey(secret));
        }
        catch (Exception e) when (e is FormatException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            return Refuse(e.Message);
        }

        if (Refusal(settings, keys, hasOwnKey) is { } refusal) return Refuse(refusal);
        HttpWorker Connect(string name, string address) => new(name, address, key);
        List<IWorkerDirectory> directories = [];
        if (settings.Role == Role.All) directories.Add(new LocalWorkers(settings, hasOwnKey ? new Dictionary<string, string> { [KeyVariable] = Convert.ToHexStringLower(secret) } : new Dictionary<string, string>(), Connect, Note));
        if (settings.Workers.Count > 0) directories.Add(new ListedWorkers(settings.Workers, Connect, Note));
        if (!settings.Directory.IsStatic) directories.Add(new EtcdDirectory(new EtcdClient(settings.Directory.Endpoints), settings.Directory.Prefix, Connect, Note));
        using var ending = new EndSignal();
        try
        {
            await using GatewayHost host = await GatewayHost.StartAsync(settings, keys, key.Ring, directories, ending.Token);
            string model = await ModelOfAsync(host, ending.Token);
            if (settings.Role == Role.All && settings.WarmUp > TimeSpan.Zero) await WarmUpAsync(settings, host, keys, model, ending.Token);
            Greet(host, keys, model);
            await Task.Delay(Timeout.Infinite, ending.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Note($"ending: requests in hand have {settings.Drain.TotalSeconds:0} s; a second signal ends them now");
            await host.DrainAsync();
            return 0;
        }
        catch (OperationCanceledException) when (ending.Token.IsCancellationRequested)
        {
            return 0;
        }
        catch (IOException e)
        {
            await Console.Error.WriteLineAsync($"{settings.Listen} cannot be listened on: {e.Message} Choose another with --listen.");
            return 1;
        }
    }

    internal static void Note(string line) => Console.Error.WriteLine(line);

    private static int Refuse(string message)
    {
        Console.Error.WriteLine(message);
        return 2;
    }

    private static string? Refusal(GatewaySettings settings, ApiKeys keys, bool hasOwnKey)
    {
        if (!settings.Listen.IsLoopback && !settings.AllowRemote && !keys.Required)
            return $"--listen: '{settings.Listen}' is not allowed without API keys, since everyone there could use it; give keys with --api-keys FILE or {ApiKeys.Variable}, or say --allow-remote";
        if (settings.Role == Role.All && settings.Workers.Count > 0) return "--workers: not allowed with --role all, which starts its own; allowed: --role gateway";
        if (settings.Role == Role.All) return Uncovered(settings);
        if (settings.Role != Role.Gateway) return null;
        if (settings.Workers.Count == 0 && settings.Directory.IsStatic) return "--role gateway: it has no workers; give --workers unix:///PATH,... or --directory etcd+http://HOST:PORT";
        return hasOwnKey ? $"{KeyVariable} is not set; gateway and workers have to share one key, for example of: openssl rand -hex 32" : null;
    }

    // Every stage of the model needs a worker of its phase.
    private static string? Uncovered(GatewaySettings settings)
    {
        IEnumerable<(Phase, string)> workers =
        [
            .. Enumerable.Repeat((Phase.Prefill, settings.Pool), settings.PrefillWorkers), .. Enumerable.Repeat((Phase.Decode, settings.Pool), settings.DecodeWorkers),
            .. Enumerable.Repeat((Phase.Both, settings.Pool), settings.MonolithicWorkers),
        ];
        try
        {
            StageMap.RequireCovered(workers);
            return null;
        }
        catch (StageException e)
        {
            return $"--prefill-workers '{settings.PrefillWorkers}', --decode-workers '{settings.DecodeWorkers}', --monolithic-workers '{settings.MonolithicWorkers}': {e.Message} Allowed: one or more of the first two each, or of the last.";
        }
    }

    private static async Task WarmUpAsync(GatewaySettings settings, GatewayHost host, ApiKeys keys, string model, CancellationToken cancellationToken)
    {
        Note($"warming up for {settings.WarmUp.TotalSeconds:0} s; --warm-up 0 leaves that out");
        List<string> routes = [];
        if (settings is { PrefillWorkers: > 0, DecodeWorkers: > 0 }) routes.Add("disaggregated");
        if (settings.MonolithicWorkers > 0) routes.Add("monolithic");
        using LentKey key = keys.Lend();
        int requests = await new WarmUp(host.Address, key, model).RunAsync(settings.WarmUp, routes, cancellationToken);
        Note($"warmed up with {requests} requests");
    }

    private static async Task<string> ModelOfAsync(GatewayHost host, CancellationToken cancellationToken)
    {
        // The first status of a worker that has just been taken in is a moment away.
        for (int i = 0; i < 50 && host.Pool.Seats.All(s => s.Status is null); i++) await Task.Delay(20, cancellationToken);
        return host.Pool.Seats.Select(s => s.Status?.Model).FirstOrDefault(m => m is not null) ?? "MODEL";
    }

    private static void Greet(GatewayHost host, ApiKeys keys, string model)
    {
        string authorization = keys.Required ? " -H 'Authorization: Bearer KEY'" : "";
        string address = host.Address.ToString().TrimEnd('/');
        Console.WriteLine($"listening on {address}");
        Console.WriteLine($$"""  curl -N {{address}}/v1/chat/completions{{authorization}} -H 'Content-Type: application/json' -d '{"model":"{{model}}","messages":[{"role":"user","content":"In the beginning "}],"max_tokens":64,"stream":true}'""");
        Console.WriteLine($"  curl {address}/health");
    }
}

/// <summary>Ctrl-C or SIGTERM: the first one asks for the end, the second one ends.</summary>
internal sealed class EndSignal : IDisposable
{
    private readonly CancellationTokenSource _asked = new();
    private readonly PosixSignalRegistration _interrupt, _terminate;

    internal EndSignal()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
    }

    internal CancellationToken Token => _asked.Token;

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _asked.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = !_asked.IsCancellationRequested;
        _asked.Cancel();
    }
}
