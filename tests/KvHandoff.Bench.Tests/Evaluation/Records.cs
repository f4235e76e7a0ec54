using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Records made by hand.</summary>
internal static class Records
{
    /// <summary>A request that succeeded, sent at <paramref name="sent"/>, of 11 tokens.</summary>
    internal static RequestRecord Ok(double firstToken, double interToken, double latency, double sent = 0, string type = "short_input_short_output", string route = "default", int load = 0, string text = "t") => new()
    {
        Id = "r",
        Load = load,
        Route = route,
        PromptType = type,
        Phase = Outcomes.Measured,
        PromptSha256 = "p-" + type,
        Outcome = Outcomes.Ok,
        ScheduledAt = sent,
        SentAt = sent,
        FirstChunkAt = sent + firstToken,
        FirstContentAt = sent + firstToken,
        LastContentAt = sent + firstToken + interToken * 10,
        EndedAt = sent + latency,
        ContentChunkSeconds = [.. Enumerable.Range(0, 11).Select(i => firstToken + i * interToken)],
        Chunks = 13,
        ContentChunks = 11,
        TokenSource = "usage",
        PromptTokens = 40,
        CompletionTokens = 11,
        TotalTokens = 51,
        TextSha256 = text,
        Client = new ClientTimes { FirstChunkSeconds = firstToken, FirstTokenSeconds = firstToken, SecondTokenSeconds = firstToken + interToken, InterTokenSeconds = interToken, LatencySeconds = latency, ResponseSeconds = latency, ScheduleDelaySeconds = 0, RetryWaitSeconds = 0, OutputSpeed = 1 / interToken },
        Attempts = [new AttemptRecord { StartedAt = sent, EndedAt = sent + latency, Status = 200 }],
    };
}
