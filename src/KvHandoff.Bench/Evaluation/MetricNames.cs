namespace KvHandoff.Bench.Evaluation;

/// <summary>Names and units of everything that is measured of a request. Files, tables and charts use these names.</summary>
internal static class MetricNames
{
    internal const string FirstChunk = "time_to_first_chunk", FirstToken = "time_to_first_token", SecondToken = "time_to_second_token", InterToken = "inter_token_latency", Gap = "inter_chunk_latency", LongestGap = "longest_gap",
        Latency = "latency", Response = "response_time", ScheduleDelay = "schedule_delay", RetryWait = "retry_wait", OutputSpeed = "output_speed",
        NetworkOverhead = "network_overhead", NetworkOverheadPercent = "network_overhead_percent",
        ServerQueue = "server_queue_time", ServerPrompt = "server_prompt_time", ServerCompletion = "server_completion_time", ServerTotal = "server_total_time", ServerHandoff = "server_handoff_time", ServerUnattributed = "server_unattributed_time", ServerThroughput = "server_throughput",
        PromptTokens = "prompt_tokens", CompletionTokens = "completion_tokens", TotalTokens = "total_tokens", CachedTokens = "cached_tokens",
        HandoffExposed = "handoff_exposed_time", HandoffFirstStep = "handoff_first_step_time", ServerFirstToken = "server_first_token_time", FirstTokenOverhead = "first_token_overhead", Preemptions = "preemptions", HandoffKvBytes = "handoff_kv_bytes", HandoffWireBytes = "handoff_wire_bytes";

    /// <summary>Before the name of a phase, such as "handoff_phase_encode".</summary>
    internal const string HandoffPhasePrefix = "handoff_phase_";

    internal const string Seconds = "s", TokensPerSecond = "tok/s", Tokens = "tok", Percent = "%", Bytes = "B", Count = "1";
}
