using System.Text.Json.Nodes;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Statistics;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>One load in the keys of vLLM's serving benchmark. What is not known is null, where vLLM would write 0.</summary>
internal static class VllmExport
{
    /// <summary>vllm_concurrency_4.json, or with a route vllm_concurrency_4_monolithic.json.</summary>
    internal static string FileName(LoadSection load)
    {
        string name = load.Route == "default" ? load.Name : $"{load.Name}_{load.Route}";
        return $"vllm_{string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? c : '_'))}.json";
    }

    internal static JsonObject Render(EvaluationSummary summary, LoadSection load, IReadOnlyList<RequestRecord> all)
    {
        int index = summary.Loads.Index().First(l => ReferenceEquals(l.Item, load)).Index;
        RequestRecord[] requests = [.. all.Where(r => r.Phase == Outcomes.Measured && r.Load == index).OrderBy(r => r.ScheduledAt)], ok = [.. requests.Where(r => r.Outcome == Outcomes.Ok)];
        JsonArray Each(Func<RequestRecord, JsonNode?> of) => new([.. requests.Select(of)]);
        var json = new JsonObject
        {
            ["date"] = summary.Run.StartedAt,
            ["endpoint_type"] = "openai-chat",
            ["model_id"] = summary.Config.Model,
            ["num_prompts"] = requests.Length,
            ["request_rate"] = load.RatePerSecond is { } rate ? rate : "inf",
            ["max_concurrency"] = load.Concurrency,
            ["duration"] = load.DurationSeconds,
            ["completed"] = load.Ok,
            ["failed"] = load.Failed,
            ["total_input_tokens"] = Sum(ok, r => r.PromptTokens),
            ["total_output_tokens"] = Sum(ok, r => r.CompletionTokens),
            ["request_throughput"] = load.Throughput.RequestsPerSecond,
            ["request_goodput"] = load.Goodput?.RequestsPerSecond,
            ["output_throughput"] = load.Throughput.OutputTokensPerSecond,
            ["total_token_throughput"] = load.Throughput.TotalTokensPerSecond,
            ["max_concurrent_requests"] = load.Throughput.PeakConcurrency,
        };
        IReadOnlyDictionary<string, MetricStatistics> metrics = load.Stages[0].Metrics;
        foreach ((string name, string metric) in new[] { ("ttft", MetricNames.FirstToken), ("tpot", MetricNames.InterToken), ("itl", MetricNames.Gap), ("e2el", MetricNames.Latency) })
        {
            if (!metrics.TryGetValue(metric, out MetricStatistics? m)) continue;
            foreach ((string stat, double? value) in new (string, double?)[] { ("mean", m.Mean), ("median", m.P50), ("std", m.Std), ("p50", m.P50), ("p90", m.P90), ("p95", m.P95), ("p99", m.P99) }) json[$"{stat}_{name}_ms"] = value * 1e3;
        }

        json["input_lens"] = Each(r => r.PromptTokens);
        json["output_lens"] = Each(r => r.CompletionTokens);
        json["ttfts"] = Each(r => r.Client.FirstTokenSeconds);
        json["itls"] = Each(r => new JsonArray([.. r.ContentChunkSeconds.Zip(r.ContentChunkSeconds.Skip(1), (a, b) => (JsonNode)(b - a))]));
        json["latencies"] = Each(r => RequestMetrics.Of(r, MetricNames.Latency));
        json["start_times"] = Each(r => r.SentAt);
        json["queue_times"] = Each(r => r.Client.ScheduleDelaySeconds);
        json["errors"] = Each(r => r.Error?.Message ?? "");
        return json;
    }

    private static long? Sum(IEnumerable<RequestRecord> requests, Func<RequestRecord, long?> of)
    {
        long? sum = 0;
        foreach (RequestRecord request in requests) sum += of(request);
        return sum;
    }
}
