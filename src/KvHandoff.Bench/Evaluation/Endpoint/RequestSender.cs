namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>Which request it is, for the record.</summary>
internal sealed record RequestPlace(string Id, int Load, string Route, int Turn, string Phase, int Iteration, int Lane, long ScheduledTicks);

/// <summary>Sends requests, repeats attempts where that makes sense, and writes down what happened. Any number of calls at once.</summary>
internal sealed class RequestSender(EndpointConnection connection, RunClock clock, RetryPolicy retries, TimeSpan timeout, bool stream, SseLimits? limits = null)
{
    private readonly SseLimits _limits = limits ?? new SseLimits();

    /// <summary>Sent with every request of a route.</summary>
    internal const string RouteHeader = "x-kvhandoff-route";

    /// <summary>Never throws but for faults of this program: a cancelled run gives a record that says so.</summary>
    internal async Task<RequestRecord> SendAsync(ChatRequest request, RequestPlace place, CancellationToken cancellationToken)
    {
        KeyValuePair<string, string>[] headers = place.Route is BaselineSection.Disaggregated or BaselineSection.Monolithic ? [new(RouteHeader, place.Route)] : [];
        var attempts = new List<AttemptRecord>();
        TimeSpan waited = TimeSpan.Zero;
        long? firstSent = null;
        while (true)
        {
            using Exchange exchange = await Exchange.RunAsync(connection, request, stream, place.Id, headers, timeout, _limits, cancellationToken);
            firstSent ??= exchange.StartedTicks;
            bool isCancelled = cancellationToken.IsCancellationRequested && exchange.Error is not null;
            RetryDecision decision = exchange.Error is null ? default
                : isCancelled || exchange.HasBegun || exchange.Error.Label == "timeout" ? new RetryDecision(null, isCancelled ? "cancelled" : exchange.HasBegun ? "the reply had begun" : "timeout")
                : retries.Decide(new FailedAttempt(exchange.Status, exchange.Error, exchange.Headers, exchange.RateLimits), attempts.Count + 1, waited, clock.UtcNow);
            attempts.Add(new AttemptRecord
            {
                StartedAt = clock.SecondsAt(exchange.StartedTicks),
                HeadersAt = exchange.HeadersTicks is { } ticks ? clock.SecondsAt(ticks) : null,
                EndedAt = clock.SecondsAt(exchange.EndedTicks),
                Status = exchange.Status,
                Error = exchange.Error,
                WaitSeconds = decision.Wait?.TotalSeconds,
                WaitReason = exchange.Error is null ? null : decision.Reason,
                RateLimits = exchange.RateLimits,
            });
            if (decision.Wait is { } wait)
            {
                waited += wait;
                try
                {
                    await clock.DelayAsync(wait, cancellationToken);
                    continue;
                }
                catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
                {
                    isCancelled = true;
                }
            }

            return Record(request, place, exchange, attempts, waited, firstSent.Value, isCancelled);
        }
    }

    /// <summary>A request that the run's end came before.</summary>
    internal RequestRecord Unsent(ChatRequest request, RequestPlace place) => new()
    {
        Id = place.Id,
        Load = place.Load,
        Route = place.Route,
        Turn = place.Turn,
        PromptType = request.PromptType,
        Phase = place.Phase,
        Iteration = place.Iteration,
        Lane = place.Lane,
        PromptSha256 = request.Sha256,
        MaxCompletionTokens = request.MaxCompletionTokens,
        Outcome = Outcomes.Cancelled,
        Error = new RequestError { Label = "cancelled", Message = "The run was interrupted." },
        ScheduledAt = clock.SecondsAt(place.ScheduledTicks),
        EndedAt = clock.Now,
    };

    private RequestRecord Record(ChatRequest request, RequestPlace place, Exchange exchange, IReadOnlyList<AttemptRecord> attempts, TimeSpan waited, long firstSent, bool isCancelled)
    {
        ReplyObservation reply = exchange.Reply;
        long sent = exchange.StartedTicks;
        double? At(long? ticks) => ticks is { } t ? clock.SecondsAt(t) : null;
        return Unsent(request, place) with
        {
            Outcome = exchange.Error is null ? Outcomes.Ok : isCancelled ? Outcomes.Cancelled : Outcomes.Error,
            Error = exchange.Error,
            SentAt = clock.SecondsAt(sent),
            FirstByteAt = At(reply.FirstByteTicks),
            FirstChunkAt = At(reply.FirstChunkTicks),
            FirstContentAt = reply.ContentTicks.Count > 0 ? clock.SecondsAt(reply.ContentTicks[0]) : null,
            LastContentAt = reply.ContentTicks.Count > 0 ? clock.SecondsAt(reply.ContentTicks[^1]) : null,
            EndedAt = clock.SecondsAt(exchange.EndedTicks),
            ContentChunkSeconds = [.. reply.ContentTicks.Select(t => Math.Round(RunClock.Between(sent, t), 9))],
            Chunks = reply.Chunks,
            ContentChunks = reply.ContentTicks.Count,
            ReasoningChunks = reply.ReasoningChunks,
            TokenSource = reply.HasUsage ? "usage" : "none",
            PromptTokens = reply.PromptTokens,
            CompletionTokens = reply.CompletionTokens,
            TotalTokens = reply.TotalTokens ?? (reply is { PromptTokens: { } p, CompletionTokens: { } c } ? p + c : null),
            CachedTokens = reply.CachedTokens,
            ReasoningTokens = reply.ReasoningTokens,
            FinishReason = reply.FinishReason,
            ResponseId = reply.Id,
            ResponseModel = reply.Model,
            SystemFingerprint = reply.SystemFingerprint,
            TextSha256 = reply.TextSha256(),
            TextCharacters = reply.Characters,
            Server = Server(reply),
            Workers = exchange.Workers,
            Client = ClientFigures.Of(reply, sent, exchange.EndedTicks, place.ScheduledTicks, firstSent, waited),
            Attempts = attempts,
        };
    }

    private static ServerTimes? Server(ReplyObservation reply)
    {
        if (reply.Server is null && reply.Handoff is null) return null;
        ServerTimes times = reply.Server ?? new ServerTimes();
        return times with { Handoff = reply.Handoff, Throughput = reply.CompletionTokens is { } tokens && times.CompletionSeconds is > 0 and double seconds ? tokens / seconds : null };
    }
}

/// <summary>How a request ended, and in which phase of the run it was.</summary>
internal static class Outcomes
{
    internal const string Ok = "ok", Error = "error", Cancelled = "cancelled", WarmUp = "warm_up", Measured = "measured";
}
