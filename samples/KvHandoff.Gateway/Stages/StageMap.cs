using System.Reflection;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Stages;

/// <summary>No worker, or not this one, runs a stage that is needed.</summary>
internal sealed class StageException(string message) : Exception(message);

/// <summary>Resolves which stages of the model a worker runs, from what is declared on them. Immutable and thread-safe.</summary>
/// <remarks>A worker of both phases runs all stages of its pool: the monolithic case.</remarks>
internal sealed class StageMap
{
    private readonly Type[] _mine;
    private readonly Phase _phases;
    private readonly string _pool;

    /// <summary>The stages of a worker.</summary>
    /// <param name="phases">Phases that the worker runs.</param>
    /// <param name="pool">Its pool.</param>
    /// <param name="stages">All stages of the model; null for <see cref="Known"/>.</param>
    /// <exception cref="StageException">A stage declares nothing, or the worker would run none.</exception>
    public StageMap(Phase phases, string pool, IReadOnlyList<Type>? stages = null)
    {
        (_phases, _pool) = (phases, pool);
        _mine = [.. (stages ?? Known).Where(s => Declared(s).Matches(phases, pool))];
        if (_mine.Length == 0)
            throw new StageException($"A worker of {phases} in pool '{pool}' runs no stage: {string.Join("; ", (stages ?? Known).Select(s => $"{s.Name} runs on {Declared(s)}"))}.");
    }

    /// <summary>The stages of the shipped model.</summary>
    public static IReadOnlyList<Type> Known { get; } = [typeof(PromptStage), typeof(TokenStage), typeof(ReplayStage)];

    /// <summary>The stages that this worker runs.</summary>
    public IReadOnlyList<Type> Stages => _mine;

    /// <summary>Whether this worker runs a stage.</summary>
    public bool Runs<TStage>() => _mine.Contains(typeof(TStage));

    /// <summary>An instance for one thread of this worker.</summary>
    /// <exception cref="StageException">The stage does not run on this worker.</exception>
    public TStage Create<TStage>(LlamaModel model, int threads) where TStage : class
    {
        if (!Runs<TStage>())
            throw new StageException($"Stage {typeof(TStage).Name} runs on {Declared(typeof(TStage))}; this worker runs {_phases} in pool '{_pool}'.");
        return (TStage)Activator.CreateInstance(typeof(TStage), model, threads)!;
    }

    /// <summary>Checks that some worker runs every stage.</summary>
    /// <param name="workers">Phases and pool of each.</param>
    /// <param name="stages">All stages of the model; null for <see cref="Known"/>.</param>
    /// <exception cref="StageException">The message names the stage, its phase and pool, and the workers that there are.</exception>
    public static void RequireCovered(IEnumerable<(Phase Phases, string Pool)> workers, IReadOnlyList<Type>? stages = null)
    {
        (Phase Phases, string Pool)[] all = [.. workers];
        foreach (Type stage in stages ?? Known)
        {
            RunsOnAttribute declared = Declared(stage);
            if (all.Any(w => declared.Matches(w.Phases, w.Pool))) continue;
            string have = all.Length == 0 ? "none" : string.Join(", ", all.Select(w => $"{w.Phases} in pool '{w.Pool}'").Distinct());
            throw new StageException($"Stage {stage.Name} runs on {declared}; there is no such worker. Workers: {have}.");
        }
    }

    private static RunsOnAttribute Declared(Type stage) =>
        stage.GetCustomAttribute<RunsOnAttribute>() ?? throw new StageException($"Stage {stage.Name} does not declare where it runs: it needs [RunsOn(...)].");
}
