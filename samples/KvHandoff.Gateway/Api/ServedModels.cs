using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>The models that the workers serve, under their own names and the gateway's other names for them. Thread-safe.</summary>
internal sealed class ServedModels(WorkerPool pool, IReadOnlyList<string> aliases)
{
    private readonly long _since = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    /// <summary>Seconds since 1970 from which on they are served.</summary>
    internal long Since => _since;

    /// <summary>All names; empty while no worker has answered yet.</summary>
    internal IReadOnlyList<string> Names
    {
        get
        {
            string[] own = [.. Statuses().Select(s => s.Model).Distinct()];
            return own.Length == 0 ? [] : [.. own, .. aliases.Except(own)];
        }
    }

    /// <summary>Whether a name is served.</summary>
    internal bool Has(string name) => Names.Contains(name);

    /// <summary>Positions of the model, or what the largest worker that generates can hold, whichever is less; 0 while there is none.</summary>
    internal int ContextTokens
    {
        get
        {
            // Those that generate hold prompt and completion.
            WorkerStatus[] generating = [.. Statuses().Where(s => s.Phases.HasFlag(Phase.Decode))];
            return generating.Length == 0 ? 0 : generating.Max(s => (int)Math.Min(s.ContextTokens, s.CacheTokens));
        }
    }

    /// <summary>Names the weights that answer.</summary>
    internal string Fingerprint => Statuses().FirstOrDefault() is { } status ? "fp_" + status.ModelRevision[..Math.Min(12, status.ModelRevision.Length)] : "fp_none";

    // Also of workers that are down at the moment: a model does not cease to exist with them.
    private IEnumerable<WorkerStatus> Statuses() => pool.Seats.Select(s => s.Status).OfType<WorkerStatus>();
}
