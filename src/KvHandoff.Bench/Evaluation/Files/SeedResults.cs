using System.Text.Json;
using System.Text.Json.Serialization;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>benchmark_results_*.json with exactly the keys of the original study: means, and sample deviations that are 0 of one sample.</summary>
internal sealed record SeedResults
{
    public required string Timestamp { get; init; }

    public int Concurrency { get; init; }

    public required string Model { get; init; }

    public int NumIterations { get; init; }

    public required IReadOnlyList<SeedResult> Results { get; init; }

    public required IReadOnlyDictionary<string, SeedComparison> Comparison { get; init; }

    // A figure that is not known stays in the file as null: the study's programs look for every key.
    private static readonly JsonSerializerOptions Options = new(Summary.Options) { DefaultIgnoreCondition = JsonIgnoreCondition.Never };

    internal string ToJson() => JsonSerializer.Serialize(this, Options);

    /// <summary>Reads a file of ours or of the original.</summary>
    /// <exception cref="InvalidDataException">It is no such file.</exception>
    internal static SeedResults FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<SeedResults>(json, Options) is { Results: not null, Comparison: not null } results ? results : throw new InvalidDataException("The file has no results.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The file is no benchmark_results of the study: {e.Message}");
        }
    }

    internal static string FileName(string model, int concurrency, int iterations, string timestamp) => $"benchmark_results_{Safe(model)}_concurrency_{concurrency}_iterations_{iterations}_{timestamp}.json";

    internal static string PromptsFileName(string model, string timestamp) => $"benchmark_prompts_{Safe(model)}_{timestamp}.json";

    // A model's name may have slashes, a file's not.
    private static string Safe(string model) => string.Concat(model.Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_' ? c : '_'));
}

internal sealed record SeedResult
{
    public required string Prompt { get; init; }

    public required SeedServerMetrics ServerMetrics { get; init; }

    public required SeedClientMetrics ClientMetrics { get; init; }

    public required SeedTokenUsage TokenUsage { get; init; }
}

internal sealed record SeedServerMetrics
{
    public double? PromptTime { get; init; }

    public double? PromptTimeStd { get; init; }

    public double? CompletionTime { get; init; }

    public double? CompletionTimeStd { get; init; }

    public double? QueueTime { get; init; }

    public double? QueueTimeStd { get; init; }

    public double? TotalServerTime { get; init; }

    public double? TotalServerTimeStd { get; init; }

    public double? ServerThroughput { get; init; }

    public double? ServerThroughputStd { get; init; }
}

internal sealed record SeedClientMetrics
{
    public double? TimeToFirstToken { get; init; }

    public double? TimeToFirstTokenStd { get; init; }

    public double? TotalTimePerRequest { get; init; }

    public double? TotalTimePerRequestStd { get; init; }

    public double? OutputSpeed { get; init; }

    public double? OutputSpeedStd { get; init; }
}

internal sealed record SeedTokenUsage
{
    public double? PromptTokens { get; init; }

    public double? CompletionTokens { get; init; }

    public double? TotalTokens { get; init; }
}

internal sealed record SeedComparison
{
    public required SeedLatencyComparison ServerVsClientLatency { get; init; }

    public required SeedThroughputComparison ServerVsClientThroughput { get; init; }

    /// <summary>The study's own: overhead and difference of means, 0 % where the server's value is 0.</summary>
    internal static SeedComparison Of(SeedResult result)
    {
        double? server = result.ServerMetrics.TotalServerTime, client = result.ClientMetrics.TotalTimePerRequest, serverSpeed = result.ServerMetrics.ServerThroughput, clientSpeed = result.ClientMetrics.OutputSpeed;
        return new SeedComparison
        {
            ServerVsClientLatency = new SeedLatencyComparison { ServerTime = server, ClientTime = client, NetworkOverhead = client - server, OverheadPercentage = Percent(client - server, server) },
            ServerVsClientThroughput = new SeedThroughputComparison { ServerThroughput = serverSpeed, ClientThroughput = clientSpeed, Difference = serverSpeed - clientSpeed, DifferencePercentage = Percent(serverSpeed - clientSpeed, serverSpeed) },
        };
    }

    private static double? Percent(double? part, double? whole) => whole is null ? null : whole > 0 ? part / whole * 100 : 0;
}

internal sealed record SeedLatencyComparison
{
    public double? ServerTime { get; init; }

    public double? ClientTime { get; init; }

    public double? NetworkOverhead { get; init; }

    public double? OverheadPercentage { get; init; }
}

internal sealed record SeedThroughputComparison
{
    public double? ServerThroughput { get; init; }

    public double? ClientThroughput { get; init; }

    public double? Difference { get; init; }

    public double? DifferencePercentage { get; init; }
}
