using System.Text.Json.Nodes;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>
/// The original study's definitions, its defects kept: the time to the first token is that of the first event of any kind, speed is events with content over the
/// time between the first and the last of them, and a call's time begins with its first attempt of three, because its client library waited and retried twice within.
/// </summary>
internal static class SeedDefinitions
{
    private const int AttemptsPerCall = 3;

    /// <summary>One file of results per closed load.</summary>
    internal static SeedResults Of(EvaluationSummary summary, int load, IReadOnlyList<RequestRecord> all, string timestamp)
    {
        RequestRecord[] ok = [.. all.Where(r => r.Load == load && r is { Phase: Outcomes.Measured, Outcome: Outcomes.Ok })];
        SeedResult[] results = [.. summary.Prompts.Select(p => p.Type).Where(type => ok.Any(r => r.PromptType == type)).Select(type => Of(type, [.. ok.Where(r => r.PromptType == type)]))];
        return new SeedResults
        {
            Timestamp = timestamp,
            Concurrency = summary.Loads[load].Concurrency ?? 1,
            Model = summary.Config.Model,
            NumIterations = summary.Config.Iterations,
            Results = results,
            Comparison = results.ToDictionary(r => r.Prompt, SeedComparison.Of),
        };
    }

    /// <summary>The prompts as the study wrote them: a list of names and messages.</summary>
    internal static JsonArray Prompts(IEnumerable<EvaluationPrompt> prompts) => new([.. prompts.Select(p => (JsonNode)new JsonObject
    {
        ["name"] = p.Type,
        ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = p.Text }),
    })]);

    /// <summary>Client figures of one request.</summary>
    internal static (double? FirstToken, double Total, double? OutputSpeed) Client(RequestRecord r)
    {
        double start = r.Attempts.Count > 0 ? r.Attempts[(r.Attempts.Count - 1) / AttemptsPerCall * AttemptsPerCall].StartedAt : r.ScheduledAt;
        return (r.FirstChunkAt - start, r.EndedAt - start, r.ContentChunks > 1 && r.LastContentAt > r.FirstContentAt ? r.ContentChunks / (r.LastContentAt - r.FirstContentAt) : null);
    }

    private static SeedResult Of(string type, RequestRecord[] requests)
    {
        (double? Mean, double? Std) Server(Func<ServerTimes, double?> of) => MeanAndStd(requests.Select(r => r.Server is { } s ? of(s) : null));
        (double? FirstToken, double Total, double? OutputSpeed)[] client = [.. requests.Select(Client)];
        (double? Mean, double? Std) prompt = Server(s => s.PromptSeconds), completion = Server(s => s.CompletionSeconds), queue = Server(s => s.QueueSeconds), total = Server(s => s.TotalSeconds), throughput = Server(s => s.Throughput);
        (double? Mean, double? Std) first = MeanAndStd(client.Select(c => c.FirstToken)), all = MeanAndStd(client.Select(c => (double?)c.Total)), speed = MeanAndStd(client.Select(c => c.OutputSpeed));
        return new SeedResult
        {
            Prompt = type,
            ServerMetrics = new SeedServerMetrics
            {
                PromptTime = prompt.Mean,
                PromptTimeStd = prompt.Std,
                CompletionTime = completion.Mean,
                CompletionTimeStd = completion.Std,
                QueueTime = queue.Mean,
                QueueTimeStd = queue.Std,
                TotalServerTime = total.Mean,
                TotalServerTimeStd = total.Std,
                ServerThroughput = throughput.Mean,
                ServerThroughputStd = throughput.Std,
            },
            ClientMetrics = new SeedClientMetrics
            {
                TimeToFirstToken = first.Mean,
                TimeToFirstTokenStd = first.Std,
                TotalTimePerRequest = all.Mean,
                TotalTimePerRequestStd = all.Std,
                OutputSpeed = speed.Mean,
                OutputSpeedStd = speed.Std,
            },
            TokenUsage = new SeedTokenUsage { PromptTokens = MeanAndStd(requests.Select(r => (double?)r.PromptTokens)).Mean, CompletionTokens = MeanAndStd(requests.Select(r => (double?)r.CompletionTokens)).Mean, TotalTokens = MeanAndStd(requests.Select(r => (double?)r.TotalTokens)).Mean },
        };
    }

    private static (double? Mean, double? Std) MeanAndStd(IEnumerable<double?> values)
    {
        double[] known = [.. values.OfType<double>()];
        if (known.Length == 0) return (null, null);
        double mean = known.Average();
        return (mean, known.Length > 1 ? Math.Sqrt(known.Sum(v => (v - mean) * (v - mean)) / (known.Length - 1)) : 0);
    }
}
