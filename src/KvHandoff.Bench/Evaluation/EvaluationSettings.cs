using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Evaluation;

/// <summary>What an evaluation was asked to do.</summary>
internal sealed record EvaluationSettings
{
    internal const int DefaultIterations = 5, DefaultMaxAttempts = 5, MostTurns = 4;
    internal const double DefaultTimeoutSeconds = 300, DefaultRetryWaitSeconds = 120;

    public required EndpointAddress Endpoint { get; init; }

    /// <summary>Null: none is sent.</summary>
    public ApiKey? Key { get; init; }

    /// <summary>Null: the first that the endpoint lists.</summary>
    public string? Model { get; init; }

    public string PromptSet { get; init; } = EvaluationPrompts.ReferenceSet;

    public IReadOnlyList<string> Types { get; init; } = EvaluationPrompts.Types;

    /// <summary>Every prompt begins with seed, load and iteration, so that no prefix cache has it.</summary>
    public bool FreshPrompts { get; init; }

    /// <summary>Most tokens per answer, instead of the types' own.</summary>
    public int? CompletionTokens { get; init; }

    public IReadOnlyList<LoadSpec> Loads { get; init; } = [LoadSpec.OfConcurrency(1)];

    public int Iterations { get; init; } = DefaultIterations;

    /// <summary>Per prompt type, before each load.</summary>
    public int WarmUp { get; init; } = 1;

    public bool Stream { get; init; } = true;

    /// <summary>Null: not sent.</summary>
    public double? Temperature { get; init; } = 0;

    public bool IncludeUsage { get; init; } = true;

    public string LimitField { get; init; } = "max_completion_tokens";

    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(DefaultTimeoutSeconds);

    public int MaxAttempts { get; init; } = DefaultMaxAttempts;

    public TimeSpan RetryWait { get; init; } = TimeSpan.FromSeconds(DefaultRetryWaitSeconds);

    public IReadOnlyList<SloObjective> Objectives { get; init; } = [];

    public double? SloShare { get; init; }

    public bool HasBaseline { get; init; }

    public bool SeedCompat { get; init; }

    /// <summary>Of a trace; null: measured.</summary>
    public double? BytesPerToken { get; init; }

    public ulong Seed { get; init; } = 1;

    public string CommandLine { get; init; } = "evaluate";

    public required string OutputDirectory { get; init; }
}
