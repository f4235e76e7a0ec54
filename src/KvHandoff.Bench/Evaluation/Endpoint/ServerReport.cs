using System.Text.Json;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>What a server reports of its own times. Numbers that are negative, infinite or no numbers count as not said.</summary>
internal static class ServerReport
{
    private const int MostPhases = 32, MostNameLength = 40;
    private const double MostSeconds = 1e6;

    internal static ServerTimes Times(JsonElement timeInfo)
    {
        double? queue = Seconds(timeInfo, "queue_time"), prompt = Seconds(timeInfo, "prompt_time"), completion = Seconds(timeInfo, "completion_time"), total = Seconds(timeInfo, "total_time"), handoff = Seconds(timeInfo, "handoff_time");
        return new ServerTimes
        {
            QueueSeconds = queue,
            PromptSeconds = prompt,
            CompletionSeconds = completion,
            TotalSeconds = total,
            HandoffSeconds = handoff,
            // Below 0 by rounding alone; further below, the parts overlap, and that is kept visible too.
            UnattributedSeconds = total is { } all && queue is not null && prompt is not null && completion is not null ? all - queue - prompt - completion - (handoff ?? 0) : null,
        };
    }

    internal static HandoffDetail Handoff(JsonElement detail)
    {
        var phases = new Dictionary<string, double>(StringComparer.Ordinal);
        if (detail.TryGetProperty("phases", out JsonElement list) && list.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty phase in list.EnumerateObject())
            {
                if (phases.Count < MostPhases && phase.Name.Length <= MostNameLength && Seconds(phase.Value) is { } seconds) phases[phase.Name] = seconds;
            }
        }

        return new HandoffDetail { KvBytes = Whole(detail, "kv_bytes"), WireBytes = Whole(detail, "wire_bytes"), ExposedSeconds = Seconds(detail, "exposed_time"), FirstStepSeconds = Seconds(detail, "first_step_time"), FirstTokenSeconds = Seconds(detail, "first_token_time"), Attempts = Whole(detail, "attempts"), Preemptions = Whole(detail, "preemptions"), Phases = phases };
    }

    private static double? Seconds(JsonElement from, string name) => from.TryGetProperty(name, out JsonElement value) ? Seconds(value) : null;

    private static double? Seconds(JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number is >= 0 and <= MostSeconds ? number : null;

    private static long? Whole(JsonElement from, string name) =>
        from.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0 ? number : null;
}
