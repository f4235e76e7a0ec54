using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Hosting;

/// <summary>What this process is.</summary>
internal enum Role
{
    /// <summary>The gateway, with workers of its own.</summary>
    All,

    /// <summary>The gateway alone; its workers are in the directory.</summary>
    Gateway,

    /// <summary>A worker.</summary>
    Prefill,

    /// <inheritdoc cref="Prefill"/>
    Decode,

    /// <inheritdoc cref="Prefill"/>
    Both,
}

/// <summary>Everything that the command line decides.</summary>
internal sealed record GatewaySettings
{
    internal Role Role { get; init; }

    internal ListenAddress Listen { get; init; } = ListenAddress.Default;

    internal bool AllowRemote { get; init; }

    internal int PrefillWorkers { get; init; } = 1;

    internal int DecodeWorkers { get; init; } = 1;

    internal int MonolithicWorkers { get; init; } = 1;

    /// <summary>"shm", "unix" or "tcp".</summary>
    internal string Transport { get; init; } = "shm";

    /// <summary>Directory of the model; null: the one that ships.</summary>
    internal string? Model { get; init; }

    /// <summary>Tokens of each worker's cache; null: the worker's default.</summary>
    internal long? CacheTokens { get; init; }

    internal int? BatchSize { get; init; }

    internal int? Threads { get; init; }

    internal DirectoryAddress Directory { get; init; } = DirectoryAddress.Static;

    /// <summary>Control addresses of workers that run already.</summary>
    internal IReadOnlyList<string> Workers { get; init; } = [];

    internal string? ApiKeysFile { get; init; }

    internal RateLimits Limits { get; init; } = new();

    internal RoutingOptions Routing { get; init; } = new();

    internal ApiOptions Api { get; init; } = new();

    internal int MaxRunning { get; init; } = 256;

    internal int MaxQueue { get; init; } = 1024;

    /// <summary>How long requests may go on after the end was asked for.</summary>
    internal TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How long requests of its own go before the first client's, where the gateway starts its workers.</summary>
    internal TimeSpan WarmUp { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Of a worker: its name, pool, control address, and where its receiver listens; null: made up.</summary>
    internal string? Name { get; init; }

    /// <inheritdoc cref="Name"/>
    internal string Pool { get; init; } = "default";

    /// <inheritdoc cref="Name"/>
    internal string? ControlAddress { get; init; }

    /// <inheritdoc cref="Name"/>
    internal string? Handoff { get; init; }

    /// <summary>The control address as others reach it; null: as it is.</summary>
    internal string? Advertise { get; init; }

    /// <summary>How long a dead worker stays in etcd.</summary>
    internal TimeSpan LeaseTime { get; init; } = TimeSpan.FromSeconds(5);

    internal static Phase PhasesOf(Role role) => role switch
    {
        Role.Prefill => Phase.Prefill,
        Role.Decode => Phase.Decode,
        Role.Both => Phase.Both,
        _ => Phase.None,
    };
}
