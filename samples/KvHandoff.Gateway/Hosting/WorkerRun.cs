using System.Globalization;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Workers;

namespace KvHandoff.Gateway.Hosting;

/// <summary>This process's life as a worker: serves, and is in the directory for as long as it does.</summary>
internal static class WorkerRun
{
    internal static async Task<int> RunAsync(GatewaySettings settings)
    {
        string control = settings.ControlAddress ?? "http://127.0.0.1:0";
        if (Refusal(settings, control) is { } refusal)
        {
            await Console.Error.WriteLineAsync(refusal);
            return 2;
        }

        var defaults = new WorkerOptions { Name = Name(settings), Phases = GatewaySettings.PhasesOf(settings.Role), ControlAddress = control };
        WorkerOptions options = defaults with
        {
            Pool = settings.Pool,
            Handoff = settings.Handoff ?? defaults.Handoff,
            AllowPlaintext = settings.AllowRemote,
            ModelDirectory = settings.Model ?? defaults.ModelDirectory,
            CacheTokens = settings.CacheTokens ?? defaults.CacheTokens,
            BatchSize = settings.BatchSize ?? defaults.BatchSize,
            Threads = settings.Threads ?? defaults.Threads,
            KeyVariable = GatewayRun.KeyVariable,
        };
        WorkerRegistration? registration = null;
        // The directory is told only of a worker that can be asked.
        int code = await WorkerHost.RunAsync(options, CancellationToken.None, ready =>
        {
            if (!settings.Directory.IsStatic)
                registration = new WorkerRegistration(new EtcdClient(settings.Directory.Endpoints), settings.Directory.Prefix, new WorkerEntry(ready.Name, settings.Advertise ?? ready.Address), settings.LeaseTime, GatewayRun.Note);
        });
        if (registration is not null) await registration.DisposeAsync();
        return code;
    }

    private static string Name(GatewaySettings settings)
    {
        if (settings.Name is { } name) return name;
        string host = new([.. Environment.MachineName.Where(c => char.IsAsciiLetterOrDigit(c) || c is '-').Take(32)]);
        return string.Create(CultureInfo.InvariantCulture, $"{settings.Role.ToString().ToLowerInvariant()}-{host}-{Environment.ProcessId}");
    }

    private static string? Refusal(GatewaySettings settings, string control)
    {
        if (settings.Directory.IsStatic) return null;
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(GatewayRun.KeyVariable)) && string.IsNullOrEmpty(Environment.GetEnvironmentVariable(GatewayRun.KeyVariable + "_FILE")))
            return $"{GatewayRun.KeyVariable} is not set; gateway and workers have to share one key, for example of: openssl rand -hex 32";
        string address = settings.Advertise ?? control;
        if (address.StartsWith("unix:", StringComparison.Ordinal)) return null;
        return new Uri(address).Host is "0.0.0.0" or "[::]"
            ? $"--control: '{address}' cannot be put into a directory; allowed: an address that others reach, or --advertise with one"
            : null;
    }
}
