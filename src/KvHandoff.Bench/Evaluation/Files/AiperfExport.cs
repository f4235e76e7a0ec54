using System.Text.Json;
using System.Text.Json.Nodes;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>profile_export.jsonl as aiperf writes it, so that its plots read our runs: nanoseconds since 1970, milliseconds, one measured request a line.</summary>
internal static class AiperfExport
{
    internal const string Name = "profile_export.jsonl";
    private const string Milliseconds = "ms", Tokens = "tokens";

    internal static IEnumerable<string> Lines(RunSection run, IEnumerable<RequestRecord> requests) =>
        requests.Where(r => r.Phase == Outcomes.Measured).OrderBy(r => r.ScheduledAt).Select((request, i) => Line(run, request, i).ToJsonString(JsonSerializerOptions.Default));

    private static JsonObject Line(RunSection run, RequestRecord r, int number)
    {
        JsonNode? At(double? seconds) => seconds is { } s ? run.StartedAtUnixNanoseconds + (long)(s * 1e9) : null;
        bool isCancelled = r.Outcome == Outcomes.Cancelled;
        return new JsonObject
        {
            ["metadata"] = new JsonObject
            {
                ["session_num"] = number,
                ["x_request_id"] = r.Id,
                ["x_correlation_id"] = r.Id,
                ["conversation_id"] = r.PromptType,
                ["turn_index"] = 0,
                ["request_start_ns"] = At(r.SentAt ?? r.ScheduledAt),
                ["request_ack_ns"] = At(r.Attempts.Count > 0 ? r.Attempts[^1].HeadersAt : null),
                ["request_end_ns"] = At(r.EndedAt),
                ["worker_id"] = r.Lane >= 0 ? $"lane_{r.Lane}" : "open_loop",
                ["record_processor_id"] = "kvhandoff",
                ["benchmark_phase"] = "profiling",
                ["was_cancelled"] = isCancelled,
                ["cancellation_time_ns"] = isCancelled ? At(r.EndedAt) : null,
            },
            ["metrics"] = r.Outcome == Outcomes.Ok ? Metrics(r) : [],
            ["error"] = r.Error is { } e ? new JsonObject { ["code"] = e.Status, ["type"] = e.Code ?? e.Label, ["message"] = e.Message } : null,
        };
    }

    private static JsonObject Metrics(RequestRecord r)
    {
        var metrics = new JsonObject();
        void Add(string name, JsonNode? value, string unit)
        {
            if (value is not null) metrics[name] = new JsonObject { ["value"] = value, ["unit"] = unit };
        }

        JsonNode? Ms(double? seconds) => seconds is { } s ? s * 1e3 : null;
        Add("input_sequence_length", r.PromptTokens, Tokens);
        Add("output_sequence_length", r.CompletionTokens, Tokens);
        Add("output_token_count", r.CompletionTokens - (r.ReasoningTokens ?? 0), Tokens);
        Add("reasoning_token_count", r.ReasoningTokens, Tokens);
        Add("time_to_first_token", Ms(r.Client.FirstTokenSeconds), Milliseconds);
        Add("time_to_second_token", Ms(r.Client.SecondTokenSeconds - r.Client.FirstTokenSeconds), Milliseconds);
        Add("request_latency", Ms(r.Client.LatencySeconds), Milliseconds);
        Add("inter_token_latency", Ms(r.Client.InterTokenSeconds), Milliseconds);
        Add("output_token_throughput_per_user", r.Client.OutputSpeed, "tokens/sec/user");
        if (r.ContentChunkSeconds.Count > 1) Add("inter_chunk_latency", new JsonArray([.. r.ContentChunkSeconds.Zip(r.ContentChunkSeconds.Skip(1), (a, b) => (JsonNode)((b - a) * 1e3))]), Milliseconds);
        return metrics;
    }
}
