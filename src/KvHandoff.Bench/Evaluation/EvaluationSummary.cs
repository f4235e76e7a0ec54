using System.Text.Json;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation;

/// <summary>
/// The result of <c>evaluate</c>, in the schema of <see cref="Summary"/>: snake_case names, seconds, tokens per second. A value that is not known is absent, never 0.
/// Times of requests count from the beginning of the run on a monotonic clock.
/// </summary>
internal sealed record EvaluationSummary : IJobSummary
{
    internal const string CommandName = "evaluate";

    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = CommandName;

    public required RunSection Run { get; init; }

    public required EnvironmentSection Environment { get; init; }

    public required ConfigSection Config { get; init; }

    public IReadOnlyList<PromptSection> Prompts { get; init; } = [];

    /// <summary>Null when no objectives were given.</summary>
    public SloSection? Slo { get; init; }

    /// <summary>One per load and route, in the order in which they ran.</summary>
    public IReadOnlyList<LoadSection> Loads { get; init; } = [];

    /// <summary>Null without <c>--disaggregated-baseline</c>.</summary>
    public BaselineSection? Baseline { get; init; }

    /// <summary>Every request, warm-up too, in the order of their ends. The same as in records.jsonl, see <see cref="ChunkTimesOmitted"/>.</summary>
    public IReadOnlyList<RequestRecord> Requests { get; init; } = [];

    /// <summary>The run had too many chunks for one file: arrival times of single chunks stand in records.jsonl only.</summary>
    public bool ChunkTimesOmitted { get; init; }

    public double ElapsedSeconds { get; init; }

    /// <summary>What makes the exit code 1: objectives missed, texts of two routes that differ, no request that succeeded.</summary>
    public IReadOnlyList<string> Failures { get; init; } = [];

    /// <summary>What a reader must know before he believes a figure: a busy client, tokens not counted by the server.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => EvaluationTables.All(this);

    /// <summary>Reads a summary back.</summary>
    /// <exception cref="InvalidDataException">It is no JSON, or of another schema or command; the message names both.</exception>
    internal static EvaluationSummary FromJson(string json)
    {
        EvaluationSummary? summary;
        try
        {
            summary = JsonSerializer.Deserialize<EvaluationSummary>(json, Summary.Options);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The evaluation cannot be read: {e.Message}");
        }

        if (summary?.Schema != Summary.CurrentSchema) throw new InvalidDataException($"The evaluation's schema is '{summary?.Schema}'; expected '{Summary.CurrentSchema}'.");
        if (summary.Command != CommandName) throw new InvalidDataException($"The file is of the command '{summary.Command}'; expected '{CommandName}'.");
        return summary;
    }
}
