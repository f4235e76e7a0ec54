using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Stages;

/// <summary>Declares where a part of the model runs: on workers of a phase, and of one pool if it names one.</summary>
/// <param name="phase">The phase; a worker of both phases runs the stages of either.</param>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class RunsOnAttribute(Phase phase) : Attribute
{
    /// <summary>The phase.</summary>
    public Phase Phase { get; } = phase;

    /// <summary>The pool; null: every pool that has workers of the phase.</summary>
    public string? Pool { get; init; }

    /// <summary>Whether a worker of these phases and this pool runs the stage.</summary>
    public bool Matches(Phase phases, string pool) => (Phase & phases) != 0 && (Pool is null || string.Equals(Pool, pool, StringComparison.Ordinal));

    /// <inheritdoc/>
    public override string ToString() => Pool is null ? $"{Phase} workers of any pool" : $"{Phase} workers of pool '{Pool}'";
}
