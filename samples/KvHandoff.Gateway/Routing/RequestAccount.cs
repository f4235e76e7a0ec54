using System.Diagnostics;
using System.Text.Json.Serialization;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>What became of one request: where it ran, and what each part took. Times are of this machine's monotonic clock.</summary>
/// <remarks>Written by the request's own flow only.</remarks>
internal sealed class RequestAccount(int promptTokens)
{
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private double _gatewayQueueSeconds;

    internal int PromptTokens => promptTokens;

    internal int CompletionTokens { get; set; }

    /// <summary>"disaggregated" or "monolithic", of the last attempt; "none" before the first.</summary>
    internal string Route { get; set; } = "none";

    internal string PrefillWorker { get; set; } = "";

    internal string DecodeWorker { get; set; } = "";

    internal Guid HandoffId { get; set; }

    internal int Attempts { get; set; }

    internal DecodeStarted? Started { get; set; }

    /// <summary>The handoff of the attempt that was completed; null on the monolithic route, and where the sender was lost after the commit.</summary>
    internal PrefillResult? Prefill { get; set; }

    internal DecodeFinished? Finished { get; set; }

    internal int Preemptions => Finished?.Preemptions ?? 0;

    /// <summary>Prompt tokens that did not have to be computed.</summary>
    internal int CachedTokens => Math.Min(promptTokens, Prefill is null ? Started?.CachedTokens ?? 0 : Prefill.CachedTokens);

    internal double FirstTokenSeconds { get; private set; }

    internal void LeaveGatewayQueue() => _gatewayQueueSeconds = Elapsed;

    internal void MarkFirstToken()
    {
        if (FirstTokenSeconds == 0) FirstTokenSeconds = Elapsed;
    }

    /// <summary>
    /// The parts and the whole, now. The workers measure the parts, so a wait at the decode worker can lie within the prefill: the parts are
    /// cut, the queue first, where they would exceed the whole.
    /// </summary>
    internal TimeInfo Time(long createdUnixSeconds)
    {
        double total = Elapsed;
        double left = total, completion = Part(Math.Max(Finished?.CompletionSeconds ?? 0, 1e-6)), prompt = Part(Prefill?.PromptSeconds ?? Started?.PromptSeconds ?? 0), handoff = Part(Prefill?.ExposedSeconds ?? 0);
        double queue = Part(_gatewayQueueSeconds + (Prefill?.QueueSeconds ?? 0) + (Started?.QueueSeconds ?? 0));
        return new TimeInfo(queue, prompt, handoff, completion, total, createdUnixSeconds);

        double Part(double seconds)
        {
            double part = Math.Clamp(seconds, 0, left);
            left -= part;
            return part;
        }
    }

    private double Elapsed => Stopwatch.GetElapsedTime(_startedAt).TotalSeconds;
}

/// <summary>Seconds of a request's parts. The total is measured and not their sum: what is left is the gateway's own, and the network's.</summary>
internal sealed record TimeInfo(
    [property: JsonPropertyName("queue_time")] double QueueTime,
    [property: JsonPropertyName("prompt_time")] double PromptTime,
    [property: JsonPropertyName("handoff_time")] double HandoffTime,
    [property: JsonPropertyName("completion_time")] double CompletionTime,
    [property: JsonPropertyName("total_time")] double TotalTime,
    [property: JsonPropertyName("created")] long Created);
