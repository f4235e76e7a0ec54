using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Metrics;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>How the API answers.</summary>
internal sealed record ApiOptions
{
    /// <summary>Tokens of an answer for which none were asked; less where the context ends before.</summary>
    internal int DefaultMaxTokens { get; init; } = 512;

    /// <summary>Whether streams end with usage and time_info unless the client says otherwise; else only where it asks.</summary>
    internal bool AlwaysSendUsage { get; init; } = true;

    /// <summary>Largest body of a request.</summary>
    internal long MaxBodyBytes { get; init; } = 4 << 20;

    /// <summary>Names under which the model is served besides its own.</summary>
    internal IReadOnlyList<string> Aliases { get; init; } = [];
}

/// <summary>What the paths of the API share.</summary>
internal sealed record GatewayServices(ApiOptions Options, ApiKeys Keys, AdmissionQueue Queue, WorkerPool Pool, ServedModels Models, Dispatcher Dispatcher, GatewayMetrics Metrics);
